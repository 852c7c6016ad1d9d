"""The train step as published, whole and in parts, beside the matrix-product rate of the same minute."""

import functools
import statistics
from typing import Any, Dict

import tensorflow as tf
from tf_agents.trajectories import trajectory

from parts import paper_scale
from slac_tf.agents.slac import agent as slac_agent

_ROUNDS = 11


def _parts(built: Any, experience: trajectory.Trajectory) -> Dict[str, float]:
    """Seconds of the losses alone, each with its gradient."""
    agent = built.agent
    window = slac_agent._window(experience)
    modelled = built.pretraining.batch_size
    others = tf.nest.map_structure(lambda x: x[modelled:], window)
    small = tf.nest.map_structure(lambda x: x[:modelled], experience)
    inferred = tf.function(agent.infer)(window)
    alpha = tf.constant(0.1)
    actor_variables = agent._actor.trainable_variables

    @tf.function
    def critic() -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(agent.critic_loss(window, inferred, alpha)[0])
        return tape.gradient(loss, agent._critic_variables)[0]

    @tf.function
    def actor() -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(agent.actor_loss(window, inferred, alpha)[0])
        return tape.gradient(loss, actor_variables)[0]

    infer = tf.function(lambda: agent.infer(others).latents)
    return {
        "model_update_seconds": paper_scale.median(lambda: float(built.pretraining.train(small).loss)),
        "filtering_the_other_sequences_seconds": paper_scale.median(lambda: infer().numpy()),
        "critic_gradient_seconds": paper_scale.median(lambda: critic().numpy()),
        "actor_gradient_seconds": paper_scale.median(lambda: actor().numpy()),
    }


def _loss(built: Any, batch: trajectory.Trajectory) -> float:
    """A train step, waited for."""
    return float(built.agent.train(batch).loss)


def measure() -> Dict[str, Any]:
    """Both precisions in turns, so that a machine's moods meet both."""
    made = {}
    for dtype in ("float32", "bfloat16"):
        built = paper_scale.build([f"build_convolution_policy.dtype = '{dtype}'"])
        batch = paper_scale.experience(built)
        made[dtype] = (built, batch, *paper_scale.matrix_product(dtype))
    times: Dict[str, Dict[str, list]] = {dtype: {"step": [], "product": []} for dtype in made}
    for number in range(_ROUNDS + 2):
        for dtype, (built, batch, product, _) in made.items():
            step = paper_scale.seconds(functools.partial(_loss, built, batch), 1, 0)
            rate = paper_scale.seconds(product, 1, 0)
            if number >= 2:
                times[dtype]["step"] += step
                times[dtype]["product"] += rate
    figures: Dict[str, Any] = {}
    for dtype, (built, batch, _, gflop_of_product) in made.items():
        seconds = statistics.median(times[dtype]["step"])
        rate = gflop_of_product / statistics.median(times[dtype]["product"])
        gflop = paper_scale.train_step_gflop(built, batch)
        figures[dtype] = {
            "seconds": seconds,
            "fastest_seconds": min(times[dtype]["step"]),
            "slowest_seconds": max(times[dtype]["step"]),
            "gflop": gflop,
            "gflops": gflop / seconds,
            "matmul_gflops": rate,
            "share_of_matmul_rate": gflop / seconds / rate,
            **_parts(built, batch),
        }
    figures["bfloat16_to_float32"] = figures["bfloat16"]["seconds"] / figures["float32"]["seconds"]
    return figures
