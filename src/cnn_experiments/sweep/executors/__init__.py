"""Ways to run the runs of a sweep: processes of this machine, Slurm, and Hydra's launchers."""
