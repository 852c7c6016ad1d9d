"""Plots learning curves: `bin/plot --csv=logs/ant/seed0/eval.csv --out=curve.png`."""

import pathlib
from typing import Sequence

from absl import flags

from slac_tf.commands import command

_CSV = flags.DEFINE_multi_string("csv", [], "The eval.csv of a run; one a seed.")
_OUT = flags.DEFINE_string("out", "curve.png", "The picture to write, PNG, PDF or SVG by its name.")
_TITLE = flags.DEFINE_string("title", "", "Title of the figure.")


def main(argv: Sequence[str]) -> int:
    """Plots.

    Args:
        argv: The command's name, and nothing else.

    Returns:
        0, or 2 after a user's mistake.
    """
    from slac_tf.results import learning_curves

    if argv[1:] or not _CSV.value:
        return command.fail("expected --csv=DIR/eval.csv, once for each seed, and no other arguments")
    try:
        learning_curves.figure([pathlib.Path(path) for path in _CSV.value], _TITLE.value).savefig(_OUT.value)
    except (ValueError, OSError) as error:
        return command.fail(str(error))
    print(f"wrote {_OUT.value}")
    return 0


if __name__ == "__main__":
    command.run(main)
