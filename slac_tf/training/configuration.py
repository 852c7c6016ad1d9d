"""Reads gin files and bindings; every mistake in them is one line."""

import importlib
import importlib.util  # gin 0.5 uses it without importing it
import pathlib
import re
import tokenize
from typing import Any, Callable, List, Sequence

import gin

_ROOT = pathlib.Path(importlib.util.find_spec("slac_tf").submodule_search_locations[0]).parent  # type: ignore[union-attr,index]


class ConfigurationError(ValueError):
    """What the user wrote cannot be run; the message is one line that says how to mend it."""


def load(files: Sequence[str], bindings: Sequence[str]) -> str:
    """Parses gin files in their order, then bindings.

    Args:
        files: Paths, as they are or below the project's root or its `gin_configs/`.
        bindings: `name.parameter = value` each.

    Returns:
        All that is bound, as gin text.

    Raises:
        ConfigurationError: If a file is missing or anything in them is wrong.
    """
    gin.clear_config()
    gin.config._LOCATION_PREFIXES[:] = ["", str(_ROOT), str(_ROOT / "gin_configs")]
    # Gin also looks for files in Python packages, and breaks off where a folder on Python's path is none.
    in_packages = gin.resource_reader.system_path_file_exists
    gin.config._FILE_READERS[:] = [reader for reader in gin.config._FILE_READERS if reader[1] is not in_packages]
    for file in files:
        places = [pathlib.Path(file), _ROOT / file, _ROOT / "gin_configs" / file]
        if not any(place.is_file() for place in places):
            known = ", ".join(sorted(path.name for path in (_ROOT / "gin_configs").glob("*.gin")))
            raise ConfigurationError(f"--gin_file={file}: no such file; gin_configs/ holds {known}")
        _parse(lambda file=file: gin.parse_config_file(file), f"--gin_file={file}")  # type: ignore[misc]
    for binding in bindings:
        _parse(lambda binding=binding: gin.parse_config(binding), f"--gin_bindings={binding!r}")  # type: ignore[misc]
    _parse(gin.finalize, "the gin files and bindings")
    return gin.config_str()


def load_environment(config: str) -> Callable[..., Any]:
    """The environment loader of a run.

    Args:
        config: The run's gin bindings as text, as `load` returned it.

    Returns:
        To be called with `seed`; gives a PyEnvironment.

    Raises:
        ConfigurationError: If the text cannot be parsed.
    """
    # Registers what a configuration binds; parsing would call it unknown.
    importlib.import_module("slac_tf.training.train_eval")
    gin.clear_config()
    _parse(lambda: gin.parse_config(config), "the run's config.gin")
    return gin.query_parameter("train_eval.load_environment").scoped_configurable_fn


def _parse(action: Callable[[], None], where: str) -> None:
    try:
        action()
    except RecursionError as error:
        raise ConfigurationError(f"{where}: its include lines lead back to it") from error
    except (
        ValueError,
        SyntaxError,
        OSError,
        ImportError,
        NameError,
        TypeError,
        AttributeError,
        RuntimeError,
        tokenize.TokenError,  # a bracket that is not closed
    ) as error:
        message = one_line(error)
        token = re.search(r"Failed to parse token '(.*?)'( \(.*?\))?", message)
        if token and "malformed node" in message:
            begin, place = token.group(1), token.group(2) or ""
            message = f"a value begins with {begin}{place}, which is no Python value: text needs quotes: 'Hopper-v4'"
        raise ConfigurationError(f"{where}: {message}") from error


def unused(bindings: Sequence[str]) -> List[str]:
    """Bindings that nothing has read; ask once everything is built.

    A file may bind what is not in use, for example an agent's settings in a file that is included; a
    binding given by hand is meant, so one without effect is a mistake.

    Args:
        bindings: `name.parameter = value` each.

    Returns:
        The bindings without effect.
    """
    operative = {
        (selector.split(".")[-1], parameter)
        for (_, selector), parameters in gin.config._OPERATIVE_CONFIG.items()
        for parameter in parameters
    }
    found = []
    for binding in bindings:
        match = re.match(r"\s*(?:[\w./]+/)?([\w.]+)\.(\w+)\s*=", binding)
        if match and (match.group(1).split(".")[-1], match.group(2)) not in operative:
            found.append(binding)
    return found


def check_used(bindings: Sequence[str]) -> None:
    """Refuses bindings that nothing has read.

    Args:
        bindings: `name.parameter = value` each.

    Raises:
        ConfigurationError: If there is one.
    """
    for binding in unused(bindings):
        raise ConfigurationError(
            f"--gin_bindings={binding!r} has no effect in this run: what it binds is not in use; take it away, or "
            "add the --gin_file that uses it"
        )


def one_line(error: BaseException) -> str:
    """The message of an error without line breaks, and without gin's notes: who called, the whole configuration.

    Args:
        error: The error.

    Returns:
        One line.
    """
    text = str(error).split("\n  In call to configurable")[0].split(" in config string:")[0]
    return " ".join(text.split()) or type(error).__name__
