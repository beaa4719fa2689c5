"""The program from Python: what `cnn_experiments.load`, `.runs` and `.train` are."""
