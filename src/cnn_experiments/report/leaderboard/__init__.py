"""Leaderboards: runs in groups that differ by the seed alone, ranked and compared."""
