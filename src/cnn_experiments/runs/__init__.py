"""One run on disk: its directory, its status, its results and what can be read from them. No torch, no Hydra."""
