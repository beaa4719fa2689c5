"""What reads many runs, by their results.json and metrics.csv alone."""
