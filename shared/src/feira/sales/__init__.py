"""What is known about sales alone."""
