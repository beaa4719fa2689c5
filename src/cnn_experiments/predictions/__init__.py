"""What a network predicted for every image of a split, and what can be said of it without the network."""
