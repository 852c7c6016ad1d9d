"""Whole runs in the process of the test."""

import gc

from slac_tf.training import experiment, loop


def run(root, config, seed=0):
    """Builds and runs what gin holds, and gives how it ended."""
    try:
        with experiment.started(experiment.train_eval(root, seed, config)) as started:
            return loop.run(started)
    finally:
        gc.collect()  # what was built holds the lock of the directory
