"""Sweeps: which runs there are, which of them are to do, running them, and what is printed about them."""
