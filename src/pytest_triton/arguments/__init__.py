"""What the arguments of public functions may be, and the error for all else."""
