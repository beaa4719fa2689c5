"""Many runs: what is missing of a sweep is found, started, watched and told."""
