"""What a run keeps: directory, checkpoints, metrics, films, counters; signals and failures that end it."""
