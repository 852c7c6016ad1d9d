"""Where the files are that come with the package: beside it in a checkout, inside of it where a wheel is installed."""

import pathlib

_PACKAGE = pathlib.Path(__file__).resolve().parents[1]
ROOT = _PACKAGE if (_PACKAGE / "gin_configs").is_dir() else _PACKAGE.parent
