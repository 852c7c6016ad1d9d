"""Resets of critics, actor and temperature (Nikishin et al. 2022, "The primacy bias")."""

import tensorflow as tf

from slac_tf.agents.slac import networks as slac_networks


class HeadResets(tf.Module):
    """Gives critics, actor and temperature new initial values every so many train steps; the model keeps its own.

    Target critics become copies of the new critics. Adam's moments are set to zero, and so is its count of steps, by
    which it corrects them.
    """

    def __init__(
        self,
        interval: int,
        networks: slac_networks.SlacNetworks,
        optimizers: slac_networks.SlacOptimizers,
        log_alpha: tf.Variable,
    ):
        """Constructor.

        Args:
            interval: Train steps.
            networks: The agent's.
            optimizers: The agent's, with all their moments made.
            log_alpha: Logarithm of the temperature, at its initial value.
        """
        super().__init__()
        self._interval = interval
        self._networks = networks
        self._log_alpha = log_alpha
        self._initial_log_alpha = log_alpha.numpy()
        self._optimizers = (optimizers.critic, optimizers.actor, optimizers.alpha)
        self.num_resets = tf.Variable(0, dtype=tf.int64, trainable=False, name="num_resets")

    def after_step(self, train_step: tf.Variable) -> None:
        """Resets where that is due; one that a skipped step left out is made up for by the next step.

        Args:
            train_step: Steps made so far, the one that just changed the weights among them; scalar int64.
        """
        due = train_step // self._interval

        def reset() -> tf.Operation:
            self.num_resets.assign(due)
            self._reset()
            return tf.no_op()

        tf.cond(due > self.num_resets, reset, tf.no_op)

    def _reset(self) -> None:
        networks = self._networks
        networks.actor.redraw()
        for critic, target in zip(networks.critics, networks.target_critics):
            critic.redraw()
            for variable, copy in zip(critic.variables, target.variables):
                copy.assign(variable)
        self._log_alpha.assign(self._initial_log_alpha)
        for optimizer in self._optimizers:
            for variable in optimizer.variables():
                variable.assign(tf.zeros_like(variable))
