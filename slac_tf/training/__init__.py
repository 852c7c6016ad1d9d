"""The training loop and what surrounds it: run directory, metrics, evaluation, checkpoints."""
