"""Exports the policies of a run's newest checkpoint: `bin/export --root_dir=logs/ant/seed0`."""

import pathlib

from absl import flags

from slac_tf.commands import command

_ROOT_DIR = flags.DEFINE_string("root_dir", None, "The run's directory.", required=True)
_OUT = flags.DEFINE_string("out", None, "Directory to export to; exported/ in the run's where not given.")


def main() -> int:
    """Exports.

    Returns:
        0, or 2 after a user's mistake.
    """
    command.configure_process()
    from slac_tf.config import configuration
    from slac_tf.training import restored

    try:
        out = None if _OUT.value is None else pathlib.Path(_OUT.value)
        root_dir = pathlib.Path(str(_ROOT_DIR.value))
        print(restored.export_run(root_dir, configuration.load_run(root_dir), out))
    except (ValueError, OSError) as error:
        return command.fail(configuration.one_line(error))
    return 0


if __name__ == "__main__":
    command.run(main)
