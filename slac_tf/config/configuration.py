"""Reads gin files and bindings; every mistake in them is one line."""

import difflib
import importlib.util  # noqa: F401  (gin 0.5 uses it without importing it)
import inspect
import pathlib
import re
import tokenize
from typing import Any, Callable, List, Optional, Sequence

import gin

from slac_tf.config import binding_places, shipped
from slac_tf.training import train_eval  # noqa: F401  (registers what every configuration binds)


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
    gin.config._LOCATION_PREFIXES[:] = ["", str(shipped.ROOT), str(shipped.ROOT / "gin_configs")]
    # Gin also looks for files in Python packages, and breaks off where a folder on Python's path is none.
    in_packages = gin.resource_reader.system_path_file_exists
    gin.config._FILE_READERS[:] = [reader for reader in gin.config._FILE_READERS if reader[1] is not in_packages]
    for file in files:
        places = [pathlib.Path(file), shipped.ROOT / file, shipped.ROOT / "gin_configs" / file]
        if not any(_is_file(place) for place in places):
            known = ", ".join(sorted(path.name for path in (shipped.ROOT / "gin_configs").glob("*.gin")))
            raise ConfigurationError(f"--gin_file={file}: no such file; gin_configs/ holds {known}")
        _parse(lambda file=file: gin.parse_config_file(file), f"--gin_file={file}", file)  # type: ignore[misc]
    for binding in bindings:
        _parse(lambda binding=binding: gin.parse_config(binding), f"--gin_bindings={binding!r}")  # type: ignore[misc]
    try:
        gin.finalize()
    except ValueError as error:
        raise ConfigurationError(describe(error, files, bindings)) from error
    return gin.config_str()


def load_text(config: str) -> Callable[..., Any]:
    """Takes a run's configuration as the one in effect.

    Args:
        config: The run's gin bindings as text, as `load` returned it.

    Returns:
        Its environment loader: to be called with `seed`; gives a PyEnvironment.

    Raises:
        ConfigurationError: If the text cannot be parsed.
    """
    gin.clear_config()
    _parse(lambda: gin.parse_config(config), "the run's config.gin")
    return gin.query_parameter("train_eval.load_environment").scoped_configurable_fn


def load_run(root_dir: pathlib.Path) -> str:
    """Takes the configuration of a run's directory as the one in effect.

    Args:
        root_dir: The run's directory.

    Returns:
        All that is bound, as gin text.

    Raises:
        ConfigurationError: If there is no run, or its configuration cannot be parsed.
    """
    path = root_dir / "config.gin"
    if not path.is_file():
        raise ConfigurationError(f"{root_dir}: no config.gin, expected the directory of a run")
    config = path.read_text()
    load_text(config)
    return config


def _parse(action: Callable[[], None], where: str, file: Optional[str] = None) -> None:
    try:
        action()
    except RecursionError as error:
        place = f" ({binding_places.loop_of_includes(file)})" if file else ""
        raise ConfigurationError(f"{where}: its include lines lead back to it{place}") from error
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
        raise ConfigurationError(f"{where}: {_of_gin(error)}") from error


def _of_gin(error: BaseException) -> str:
    """What gin says of a text that it cannot read, in one line with file, line and what was expected."""
    message = _with_nearest_name(one_line(error))
    # The innermost file's line; behind it come the line itself and the include lines that lead there.
    message = re.sub(r' In file "(.*?)", line (\d+) .*', r" (\1, line \2)", message)
    message = re.sub(r" In bindings string line \d+ .*", "", message)
    token = re.search(r"Failed to parse token '(.*?)'( \(.*?\))?", message)
    if token and "malformed node" in message:
        begin, place = token.group(1), token.group(2) or ""
        message = f"a value begins with {begin}{place}, which is no Python value: text needs quotes: 'Hopper-v4'"
    open_ended = re.search(r"\('(EOF in multi-line \w+)', \((\d+), \d+\)\)", message)
    if open_ended:
        begin, place = message[: open_ended.start()], message[open_ended.end() :]
        message = f"{begin}{open_ended[1]}, line {open_ended[2]}: a bracket or quotes are not closed{place}"
    if isinstance(error, (UnicodeDecodeError, tokenize.TokenError)) or "null bytes" in message:
        message += ", expected gin text"
    elif isinstance(error, SyntaxError) and error.text and not token:
        message += f": {error.text.strip()}, expected name.parameter = value"
    return message


def unused(bindings: Sequence[str]) -> List[str]:
    """Bindings that nothing has read; ask once everything is built.

    A file may bind what is not in use, for example an agent's settings in a file that is included; a
    binding or macro given by hand is meant, so one without effect is a mistake.

    Args:
        bindings: `name.parameter = value` each.

    Returns:
        The bindings without effect.
    """
    read = _read()
    return [
        binding for binding in bindings if any(place.name not in read for place in binding_places.find([], [binding]))
    ]


def check_used(bindings: Sequence[str]) -> None:
    """Refuses bindings that nothing has read.

    Args:
        bindings: `name.parameter = value` each.

    Raises:
        ConfigurationError: If there is one.
    """
    read = _read()
    macros = [name for name in read if "." not in name]
    for binding in unused(bindings):
        name = next(place.name for place in binding_places.find([], [binding]) if place.name not in read)
        if "." not in name:
            nearest = difflib.get_close_matches(name, macros, n=1)
            raise ConfigurationError(
                f"--gin_bindings={binding!r} has no effect in this run: nothing uses the macro {name}, expected "
                + (nearest[0] if nearest else f"one of {', '.join(sorted(macros)) or 'none'}")
            )
        raise ConfigurationError(
            f"--gin_bindings={binding!r} has no effect in this run: what it binds is not in use; take it away, or "
            "add the --gin_file that uses it"
        )


def _read() -> List[str]:
    """Each `configurable.parameter` and macro that has been read, defaults among them."""
    return [
        scope if selector == "gin.macro" else f"{selector.split('.')[-1]}.{parameter}"
        for (scope, selector), parameters in gin.config._OPERATIVE_CONFIG.items()
        for parameter in parameters
    ]


def _with_nearest_name(message: str) -> str:
    """Gin's complaint about a name that it does not know, with the nearest that it does."""
    configurable = re.search(r"No configurable matching (?:reference )?'@?(?:[\w./]*[./])?(\w+)", message)
    parameter = re.search(r"Configurable '(?:[\w./]*[./])?(\w+)' doesn't have a parameter named '(\w+)'", message)
    selectors = {selector.split(".")[-1]: selector for selector, _ in gin.config._REGISTRY.items()}
    if configurable:
        nearest = difflib.get_close_matches(configurable[1], selectors, n=1, cutoff=0.75)
        expected = nearest[0] if nearest else "a name that an import line makes known"
    elif parameter and parameter[1] in selectors:
        known = inspect.signature(gin.config._REGISTRY[selectors[parameter[1]]].wrapped).parameters
        nearest = difflib.get_close_matches(parameter[2], known, n=1)
        expected = nearest[0] if nearest else f"one of {', '.join(known)}"
    else:
        return message
    begin, separator, place = message.partition(" In ")
    return f"{begin.rstrip('.')}, expected {expected}{separator}{place}"


def _is_file(path: pathlib.Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that no file can have, for example of 300 letters
        return False


def describe(error: BaseException, files: Sequence[str], bindings: Sequence[str]) -> str:
    """The message of an error that came up once all was parsed, with the place of the binding that it is about.

    Args:
        error: The error.
        files: As `load` took them.
        bindings: As `load` took them.

    Returns:
        One line.
    """
    message = one_line(error)
    places = binding_places.find(files, bindings)
    undefined = re.match(r"No bindings specified for '(.+)/gin\.macro'", message)
    missing = re.match(r"Required bindings for `(\w+)` not provided in config: \[(.*)\]", message)
    misused = re.match(r"(\w+)(\.__init__)?\(\) (missing|got|takes) ", message)
    place: Optional[binding_places.Place] = None
    if isinstance(error, RecursionError):
        place = binding_places.loop_of_macros(places)
        message = f"{place.name}: the macro's value leads back to it, expected a value" if place else message
    elif undefined:
        place = next((place for place in places if undefined[1] in place.macros), None)
        message = f"%{undefined[1]} is no macro that is bound, expected a line such as {undefined[1]} = 3"
    elif missing:
        names = ", ".join(f"{missing[1]}.{name}" for name in re.findall(r"\w+", missing[2]))
        given = ", ".join(f"--gin_file={file}" for file in files)
        message = f"{given}: nothing binds {names}, expected a task's file, such as gin_configs/cheetah_run.gin"
    elif misused:
        place = next((place for place in reversed(places) if misused[1] in place.references), None)
        wanted = "that to be bound, or another reference" if misused[3] == "missing" else "another reference"
        message = f"{place.name}: {message}, expected {wanted}" if place else message
    else:
        called = re.findall(r"In call to configurable '(\w+)'", str(error))
        place = binding_places.of_message(message, called, _read(), places)
    return f"{message} ({place.text})" if place else message


def one_line(error: BaseException) -> str:
    """The message of an error without line breaks, and without gin's notes: who called, the whole configuration.

    Args:
        error: The error.

    Returns:
        One line.
    """
    text = re.split(r"\n  In call to configurable|\n  No values supplied by Gin| in config string:", str(error))[0]
    return " ".join(text.split()) or type(error).__name__
