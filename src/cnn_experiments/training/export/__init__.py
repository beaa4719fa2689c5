"""A trained network as one file, with its preprocessing and where it comes from, compared with the network itself."""
