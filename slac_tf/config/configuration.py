"""Reads gin files and bindings; every mistake in them is one line."""

import difflib
import importlib.util  # noqa: F401  (gin 0.5 uses it without importing it)
import inspect
import os
import pathlib
import re
from typing import Any, Callable, Dict, List, Sequence

import gin

from slac_tf.config import binding_places, shipped
from slac_tf.training import experiment  # noqa: F401  (registers what every configuration binds)
from slac_tf.utils import checks

_LOAD_ENVIRONMENT = "train_eval.load_environment"
_PREFIXES = ("", str(shipped.ROOT), str(shipped.ROOT / "gin_configs"))


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
    binding_places.PLACES.clear()
    gin.config._LOCATION_PREFIXES[:] = _PREFIXES
    # Gin also looks for files in Python packages, and breaks off where a folder on Python's path is none.
    in_packages = gin.resource_reader.system_path_file_exists
    gin.config._FILE_READERS[:] = [reader for reader in gin.config._FILE_READERS if reader[1] is not in_packages]
    for file in files:
        if not any(os.path.isfile(os.path.join(prefix, file)) for prefix in _PREFIXES):
            known = ", ".join(sorted(path.name for path in (shipped.ROOT / "gin_configs").glob("*.gin")))
            raise ConfigurationError(f"--gin_file={file}: no such file; gin_configs/ holds {known}")
        _parse(gin.parse_config_file, file, f"--gin_file={file}")
    for binding in bindings:
        _parse(gin.parse_config, binding, f"--gin_bindings={binding!r}")
    try:
        binding_places.check_macros()
        gin.finalize()
    except ValueError as error:
        raise ConfigurationError(one_line(error)) from error
    return gin.config_str()


def load_text(config: str) -> Callable[..., Any]:
    """Takes a run's configuration, as `load` returned it, as the one in effect.

    Returns:
        Its environment loader: to be called with `seed`; gives a PyEnvironment.

    Raises:
        ConfigurationError: If the text cannot be parsed.
    """
    gin.clear_config()
    binding_places.PLACES.clear()
    _parse(gin.parse_config, _without_settings_of_0_1(config), "the run's config.gin")
    return environment_loader()


def environment_loader() -> Callable[..., Any]:
    """The environment loader of the configuration in effect.

    Returns:
        To be called with `seed`; gives a PyEnvironment.

    Raises:
        ValueError: If none is bound, or no reference.
    """
    try:
        bound = gin.query_parameter(_LOAD_ENVIRONMENT)
    except ValueError as error:
        expected = "expected a task's file, such as gin_configs/cheetah_run.gin"
        raise ConfigurationError(f"nothing binds {_LOAD_ENVIRONMENT}, {expected}") from error
    loader = getattr(bound, "scoped_configurable_fn", bound)
    checks.references("train_eval", load_environment=loader)
    return loader


def load_run(root_dir: pathlib.Path) -> str:
    """Takes the configuration of a run's directory as the one in effect, and returns it as gin text.

    Raises:
        ConfigurationError: If there is no run, or its configuration cannot be parsed.
    """
    if not (root_dir / "config.gin").is_file():
        raise ConfigurationError(f"{root_dir}: no config.gin, expected the directory of a run")
    config = (root_dir / "config.gin").read_text()
    if _without_settings_of_0_1(config) != config:
        raise ConfigurationError(f"{root_dir} holds a run of slac_tf 0.1, expected one of this version: use that one")
    load_text(config)
    return config


def _without_settings_of_0_1(config: str) -> str:
    """What an exported policy needs of a configuration; version 0.1 had its settings under other names."""
    if "train_eval.num_env_steps" not in config:
        return config
    kept, keep = [], True
    for line in config.splitlines():
        if not line.startswith(" "):  # of several lines, the first one
            gone = r"train_eval\.(?!load_environment)|import slac_tf\.training|build_sac_"
            keep = re.match(gone, line) is None
        if keep:
            kept.append(line)
    return "\n".join(kept) + "\n"


def check_used(bindings: Sequence[str]) -> None:
    """Refuses a binding given by hand that nothing has read once everything is built; files may have such.

    Raises:
        ConfigurationError: If there is one.
    """
    read = [*_read(), _LOAD_ENVIRONMENT]  # which `environment_loader` reads past gin's record
    given = [f"--gin_bindings={binding!r}" for binding in bindings]
    for place in binding_places.PLACES.values():
        if place.text in given and place.name not in read:
            expected = "".join(difflib.get_close_matches(place.name, read, n=1)) or "the --gin_file that uses it"
            reason = f"nothing uses {place.name}, expected {expected}"
            raise ConfigurationError(f"{place.text} has no effect in this run: {reason}")


def describe(error: BaseException, files: Sequence[str], bindings: Sequence[str]) -> str:
    """One line about an error that came up once all was parsed, with the place of the binding that it is about."""
    message = one_line(error)
    missing = re.match(r"Required bindings for `(\w+)` not provided in config: \['(\w+)'", message)
    if missing:
        given = ", ".join([f"--gin_file={file}" for file in files] + [f"--gin_bindings={text!r}" for text in bindings])
        name = f"{missing[1]}.{missing[2]}"
        return f"{given}: nothing binds {name}, expected a task's file, such as gin_configs/cheetah_run.gin"
    place = binding_places.of_message(message, _read())
    misused = re.match(r"(\w+)(\.__init__)?\(\) (missing|got|takes) ", message)
    referring = [found for found in binding_places.PLACES.values() if misused and misused[1] in found.references]
    if referring:
        place, message = referring[-1], f"{referring[-1].name}: {message}, expected another reference"
    return f"{message} ({place.text})" if place else message


def one_line(error: BaseException) -> str:
    """The message of an error without line breaks, and without gin's notes: who called, the whole configuration."""
    text = re.split(r"\n  In call to configurable|\n  No values supplied by Gin| in config string:", str(error))[0]
    return " ".join(text.split()) or type(error).__name__


def _read() -> List[str]:
    """Each `configurable.parameter` and macro that has been read, defaults among them."""
    return [
        scope if selector == "gin.macro" else f"{selector.split('.')[-1]}.{parameter}"
        for (scope, selector), parameters in gin.config._OPERATIVE_CONFIG.items()
        for parameter in parameters
    ]


def _parse(parse: Callable[[str], Any], text: str, where: str) -> None:
    try:
        with binding_places.noted(where):
            parse(text)
    except Exception as error:  # gin raises many kinds, and a module that a file imports any
        raise ConfigurationError(f"{where}: {_of_gin(error)}") from error


def _of_gin(error: Exception) -> str:
    """What gin says of a text that it cannot read, in one line with file, line and what was expected."""
    if isinstance(error, SyntaxError):
        expected = "Python" if str(error.filename).endswith(".py") else "name.parameter = value"
        message = f"{(error.text or str(error.msg)).strip()}, expected {expected}"
        token = re.search(r"Failed to parse token '(.*?)'", str(error.msg))
        if token:
            message = f"a value begins with {token[1]}, which is no Python value: text needs quotes: 'Hopper-v4'"
        return f"{message} ({error.filename}, line {error.lineno})" if error.filename else message
    # The innermost place; behind it come the line itself and the include lines that lead there.
    message, *places = re.split(r' In (?=file "|bindings string line )', one_line(error))
    place = re.match(r'file "(.*?)", (line \d+)', "".join(places[:1]))
    open_ended = r"\('(EOF in multi-line \w+)', \((\d+),.*"
    message = re.sub(open_ended, r"\1, line \2: a bracket or quotes are not closed", _with_nearest_name(message))
    if re.search(r"^EOF in|can't decode|null bytes", message):
        message += ", expected gin text"
    if isinstance(error, LookupError):  # of a module that a file imports; its message is but the key
        message = f"{type(error).__name__}: {message}"
    return f"{message} ({place[1]}, {place[2]})" if place else message


def _with_nearest_name(message: str) -> str:
    """Gin's complaint about a name that it does not know, with the nearest that it does."""
    configurable = re.search(r"No configurable matching (?:reference )?'@?(?:[\w./]*[./])?(\w+)", message)
    parameter = re.search(r"Configurable '(?:[\w./]*[./])?(\w+)' doesn't have a parameter named '(\w+)'", message)
    if not configurable and not parameter:
        return message
    known: Dict[str, List[str]] = {}  # parameters by the names of the configurables
    ours: Dict[str, List[str]] = {}  # `configurable.parameter` of this project by the names of the parameters
    for selector, found in gin.config._REGISTRY.items():
        name = selector.split(".")[-1]
        known[name] = list(inspect.signature(found.wrapped).parameters)
        for own in known[name] if selector.startswith("slac_tf.") else ():
            ours.setdefault(own, []).append(f"{name}.{own}")
    if configurable:
        nearest = difflib.get_close_matches(configurable[1], known, n=1, cutoff=0.7)
        expected = "".join(nearest) or "a name that an import line makes known"
    elif parameter:
        words = set(parameter[2].split("_"))
        expected = "".join(difflib.get_close_matches(parameter[2], known[parameter[1]], n=1, cutoff=0.75))
        # A setting may have moved to another configurable, where a word of its name is not needed.
        parts = sorted((name for name in ours if words.issuperset(name.split("_"))), key=len)
        elsewhere = difflib.get_close_matches(parameter[2], ours, n=1, cutoff=0.75) or parts[-1:]
        expected = expected or " or ".join(n for near in elsewhere for n in ours[near])
        expected = expected or f"one of {', '.join(known[parameter[1]])}"
    return f"{message.rstrip('.')}, expected {expected}"
