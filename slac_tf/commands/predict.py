"""Draws what a run's latent model predicts: `bin/predict --root_dir=logs/ant/seed0 --out=figure.png`."""

import pathlib

from absl import flags

from slac_tf.commands import command

_ROOT_DIR = flags.DEFINE_string("root_dir", None, "The run's directory.", required=True)
_OUT = flags.DEFINE_string("out", "figure.png", "The picture to write.")
_SEQUENCES = flags.DEFINE_integer("sequences", 2, "Sequences to draw.", lower_bound=1)
_FRAMES = flags.DEFINE_integer("frames", 9, "Frames of each.", lower_bound=2)
_CONTEXT_FRAMES = flags.DEFINE_integer(
    "context_frames", 1, "Frames that the conditional prior is given.", lower_bound=0
)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the environment and of the samples.", lower_bound=0)


def main() -> int:
    """Draws.

    Returns:
        0, 1 where the environment failed, or 2 after a user's mistake.
    """
    command.configure_process()
    from PIL import Image

    from slac_tf.config import configuration
    from slac_tf.environments import faults
    from slac_tf.training import prediction

    try:
        root_dir = pathlib.Path(str(_ROOT_DIR.value))
        configuration.load_run(root_dir)
        picture = prediction.predict(
            root_dir,
            num_sequences=_SEQUENCES.value,
            num_frames=_FRAMES.value,
            context_frames=_CONTEXT_FRAMES.value,
            seed=_SEED.value,
        )
        out = pathlib.Path(_OUT.value)
        out.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(out)
    except faults.FaultyEnvironmentError as fault:
        return command.fail(configuration.one_line(fault), code=1)
    except (ValueError, OSError) as error:
        return command.fail(configuration.one_line(error))
    print(f"wrote {_OUT.value}: for each sequence truth, posterior, conditional prior, prior")
    return 0


if __name__ == "__main__":
    command.run(main)
