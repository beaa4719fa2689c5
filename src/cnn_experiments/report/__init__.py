"""Reports on many runs, from their results.json and metrics.csv alone."""
