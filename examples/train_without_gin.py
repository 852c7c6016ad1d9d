"""Trains SLAC on finger spin from Python alone, on networks so small that it takes two minutes and learns little."""

import functools
import pathlib

from slac_tf.agents.slac import builder
from slac_tf.environments import suite_dm_control
from slac_tf.latent_models import two_layer
from slac_tf.training import experiment, loop, settings


def main(root_dir: pathlib.Path, num_env_steps: int = 2000) -> loop.Result:
    """Trains in a directory; calling it again with the same one and more steps goes on."""
    model = functools.partial(two_layer.TwoLayerModel, z1_size=16, z2_size=64, base_depth=8, hidden_sizes=(128, 128))
    plan = experiment.train_eval(
        root_dir,
        seed=0,
        settings=settings.Settings(
            settings.Schedule(num_env_steps, initial_collect_agent_steps=500, num_pretrain_steps=200),
            settings.ReplaySettings(capacity=20_000),
            settings.EvaluationSettings(num_episodes=1),
        ),
        load_environment=functools.partial(
            suite_dm_control.load_dm_control,
            "finger",
            "spin",
            action_repeat=2,
            observations=("pixels",),
            render_quality="fast",
        ),
        build_agent=functools.partial(
            builder.build_slac, latent_model=model, sequence_length=4, batch_size=64, model_batch_size=8
        ),
    )
    with experiment.started(plan) as started:
        return loop.run(started)


if __name__ == "__main__":
    print(main(pathlib.Path("logs/train_without_gin")))
