"""Classic convolutional networks as exact, fast, repeatable experiments."""
