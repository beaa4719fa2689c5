"""What a command does: one function each, given the configuration and the folder to write into."""
