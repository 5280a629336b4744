"""Bounces, complaints and answers to text messages from mail servers and providers."""
