"""Whole runs in the process of the test."""

from slac_tf.training import experiment, loop


def run(root, config, seed=0):
    """Builds and runs what gin holds, and gives how it ended."""
    with experiment.started(experiment.train_eval(root, seed, config)) as started:
        return loop.run(started)
