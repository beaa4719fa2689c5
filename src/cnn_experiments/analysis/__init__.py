"""The analysis of networks: what they cost, and which images they accept."""
