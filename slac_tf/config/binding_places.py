"""Where each binding stands. Gin forgets it, and the line about a mistake should name the place to mend."""

import re
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import gin
from gin import config_parser


class Place(NamedTuple):
    """A binding.

    Attributes:
        name: `configurable.parameter`, or a macro's name.
        text: Where it is, such as "mine.gin, line 3".
        macros: Macros in its value.
        references: Configurables in its value.
    """

    name: str
    text: str
    macros: Sequence[str]
    references: Sequence[str]


class _Macro(NamedTuple):
    name: str


class _Reference(NamedTuple):
    name: str


class _Delegate(config_parser.ParserDelegate):
    """Keeps names, where gin's own looks up what they stand for."""

    def configurable_reference(self, scoped_configurable_name: str, evaluate: bool) -> _Reference:
        return _Reference(_last(scoped_configurable_name))

    def macro(self, macro_name: str) -> _Macro:
        return _Macro(macro_name)


def find(files: Sequence[str], bindings: Sequence[str]) -> List[Place]:
    """The bindings in effect: of those with one name the last, in their order.

    Args:
        files: Gin files that gin has parsed.
        bindings: Bindings that gin has parsed.

    Returns:
        The places.
    """
    places: Dict[str, Place] = {}

    def add(statement: Any, text: str) -> None:
        if isinstance(statement, config_parser.BindingStatement):
            selector = _last(statement.selector)
            macro = f"{statement.scope}/{selector}" if statement.scope else selector
            name = f"{selector}.{statement.arg_name}" if statement.arg_name else macro
            found = list(_names(statement.value))
            places.pop(name, None)
            places[name] = Place(
                name,
                text,
                [item.name for item in found if isinstance(item, _Macro)],
                [item.name for item in found if isinstance(item, _Reference)],
            )

    for file in files:
        for statement in _statements(file):
            add(statement, _text(statement.location))
    for binding in bindings:
        for statement in config_parser.ConfigParser(binding, _Delegate()):
            add(statement, f"--gin_bindings={binding!r}")
    return list(places.values())


def loop_of_includes(file: str) -> str:
    """Where a file's include lines lead back to a file that they come from.

    Args:
        file: A gin file that includes itself, in one or several steps.

    Returns:
        The place, such as "mine.gin, line 3".
    """
    return next(_text(s.location) for s in _statements(file) if isinstance(s, config_parser.IncludeStatement))


def loop_of_macros(places: Sequence[Place]) -> Optional[Place]:
    """The first macro whose value leads back to it.

    Args:
        places: From `find`.

    Returns:
        Its place, or None.
    """
    by_name = {place.name: place for place in places}
    for place in places:
        ahead, seen = list(place.macros), set()
        while ahead:
            name = ahead.pop()
            if name == place.name:
                return place
            if name in by_name and name not in seen:
                seen.add(name)
                ahead += by_name[name].macros
    return None


def of_message(message: str, called: Sequence[str], read: Sequence[str], places: Sequence[Place]) -> Optional[Place]:
    """The binding that a message is about, or that of the macro which is its value.

    Args:
        message: It names `configurable.parameter`, or a macro or parameter followed by ':' or '='.
        called: Configurables from which the error came, the innermost first.
        read: `configurable.parameter` of each binding that has been read.
        places: From `find`.

    Returns:
        The place, or None where the message names nothing that is bound.
    """
    by_name = {place.name: place for place in places}
    words = re.findall(r"(?<![\w.])[A-Za-z_]\w*(?=\s*[:=])", message)
    candidates = re.findall(r"(?<![\w.])[A-Za-z_]\w*\.\w+", message)
    candidates += words  # macros
    candidates += [f"{configurable}.{word}" for word in words for configurable in called]
    for word in words:
        bound = [name for name in read if name.endswith(f".{word}") and name in by_name]
        candidates += bound if len(bound) == 1 else []
    for name in candidates:
        place = by_name.get(name)
        while place is not None:
            if len(place.macros) != 1 or place.macros[0] not in by_name:
                return place
            place = by_name[place.macros[0]]
    return None


def _statements(file: str, including: Sequence[str] = ()) -> Iterator[Any]:
    """All of a file, with what it includes; an include that leads back is given itself."""
    prefixes = [""] if file.startswith("/") else gin.config._LOCATION_PREFIXES
    for path in (f"{prefix}/{file}" if prefix else file for prefix in prefixes):
        try:
            opened = open(path)
        except OSError:
            continue
        with opened:
            for statement in config_parser.ConfigParser(opened, _Delegate()):
                if not isinstance(statement, config_parser.IncludeStatement):
                    yield statement
                elif statement.filename in (*including, file):
                    yield statement
                    return
                else:
                    yield from _statements(statement.filename, (*including, file))
        return


def _names(value: Any) -> Iterator[Union[_Macro, _Reference]]:
    if isinstance(value, (_Macro, _Reference)):
        yield value
    elif isinstance(value, dict):
        yield from _names([*value.keys(), *value.values()])
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _names(item)


def _last(selector: str) -> str:
    return re.split(r"[./]", selector)[-1]


def _text(location: Tuple[Any, ...]) -> str:
    return f"{location[0]}, line {location[1]}"
