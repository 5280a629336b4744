"""What templates read, found without rendering them."""
