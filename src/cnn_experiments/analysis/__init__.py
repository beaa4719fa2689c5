"""What a network costs and which images it accepts."""
