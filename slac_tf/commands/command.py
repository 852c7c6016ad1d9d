"""What every command does before and after its work."""

import logging as std_logging
import os
import pathlib
import re
import sys
from typing import Callable, Sequence


def configure_process() -> None:
    """Sets what must be set before TensorFlow is imported; a variable that is set stays."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # C++ complaints that mean nothing for a CPU run
    # TensorFlow leaves oneDNN off on processors without AVX-512, where it is the faster choice as well.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    from gym_notices import notices  # imported by TF-Agents' gym, which prints an appeal to move on

    notices.notices.clear()


def fail(message: str, code: int = 2) -> int:
    """Prints the one line that a user's mistake gets.

    Args:
        message: What happened, value found and expected, what fixes it.
        code: To exit with; 2 says that it was a mistake.

    Returns:
        The code.
    """
    print(f"{pathlib.Path(sys.argv[0]).stem}: {message}", file=sys.stderr)
    return code


def run(main: Callable[[], int]) -> None:
    """Runs a command with absl's flags and exits with its code.

    Args:
        main: Returns the exit code.
    """
    from absl import app, logging

    logging.set_verbosity(logging.INFO)
    logging.use_absl_handler()
    logging.get_absl_handler().addFilter(_from_this_package_or_a_warning)
    try:
        app.run(lambda _: sys.exit(main()), flags_parser=_parse_flags)
    except KeyboardInterrupt:
        sys.exit(fail("interrupted", code=130))


def _parse_flags(argv: Sequence[str]) -> Sequence[str]:
    from absl import flags

    try:
        rest = flags.FLAGS(argv)
        if rest[1:]:
            raise flags.Error(f"{rest[1]!r} is no flag, expected only flags")
        return rest
    except flags.Error as error:
        message = re.sub(r"invalid literal for int\(\).*", "expected an integer", " ".join(str(error).split()))
        sys.exit(fail(f"{message} (--helpshort lists the flags)"))


def _from_this_package_or_a_warning(record: std_logging.LogRecord) -> bool:
    # Libraries report their search for files and drivers as information, and gin as errors.
    if "gin" in pathlib.Path(record.pathname).parts:
        return False
    return record.levelno >= std_logging.WARNING or "slac_tf" in pathlib.Path(record.pathname).parts
