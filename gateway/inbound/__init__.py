"""The way in for bounces, complaints and answers to text messages, which mail servers and providers hand in."""
