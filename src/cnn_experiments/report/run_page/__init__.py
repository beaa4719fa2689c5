"""The page of one run: its curves, what its network gets wrong, what it costs, and how to repeat it."""
