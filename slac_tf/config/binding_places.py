"""Where each binding stands. Gin 0.5 knows that while it reads and then forgets it; an error should name the place."""

import contextlib
import functools
import re
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

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


PLACES: Dict[str, Place] = {}  # of what gin's own configuration of this process holds, in the order of the lines


class _Parser(config_parser.ConfigParser):
    """Gin's own, which notes the bindings that it hands out."""

    def __init__(self, given: str, reading: List[str], source: Any, delegate: config_parser.ParserDelegate) -> None:
        super().__init__(source, delegate)
        self._given, self._reading = given, reading
        if self._filename and self._filename in reading:
            raise ValueError(f"{self._filename}: its include lines lead back to it")
        reading.append(self._filename)

    def __next__(self) -> Any:
        try:
            statement = super().__next__()
        except StopIteration:
            self._reading.remove(self._filename)  # not the last one, which a parser of a value may be
            raise
        if isinstance(statement, config_parser.BindingStatement):
            selector = statement.selector.split(".")[-1]
            macro = f"{statement.scope}/{selector}" if statement.scope else selector
            name = f"{selector}.{statement.arg_name}" if statement.arg_name else macro
            text = f"{self._filename}, line {statement.location.line_num}" if self._filename else self._given
            found = list(gin.config.iterate_references(statement.value))
            macros = ["/".join(reference.scopes) for reference in found if reference.selector == "gin.macro"]
            PLACES.pop(name, None)
            PLACES[name] = Place(name, text, macros, [reference.selector.split(".")[-1] for reference in found])
        return statement


@contextlib.contextmanager
def noted(given: str) -> Iterator[None]:
    """Notes the place of each binding that gin reads in the meantime; `given` is that of one in no file."""
    own = config_parser.ConfigParser
    config_parser.ConfigParser = functools.partial(_Parser, given, [])
    try:
        yield
    finally:
        config_parser.ConfigParser = own


def check_macros() -> None:
    """Raises ValueError where a macro is not bound, or its value leads back to it."""

    def follow(place: Place, behind: Tuple[str, ...]) -> None:
        for name in place.macros:
            if name not in PLACES:
                raise ValueError(f"%{name} is no macro that is bound, expected {name} = VALUE ({place.text})")
            if name in behind:
                raise ValueError(f"{name}: the macro's value leads back to it, expected a value ({place.text})")
            follow(PLACES[name], (*behind, name))

    for place in PLACES.values():
        follow(place, ())


def of_message(message: str, read: Sequence[str]) -> Optional[Place]:
    """The one binding that a message is about, or that of the macro which is its value.

    Args:
        message: It names `configurable.parameter`, or a macro or parameter followed by ':' or '='.
        read: `configurable.parameter` of each binding that has been read.
    """
    names = re.findall(r"(?<![\w.])[A-Za-z_]\w*\.\w+", message)
    for word in re.findall(r"(?<![\w.])[A-Za-z_]\w*(?=\s*[:=])", message):
        bound = [name for name in PLACES if name in read and name.endswith(f".{word}")]
        names += [word, *bound] if len(bound) == 1 else [word]
    place = next((PLACES[name] for name in names if name in PLACES), None)
    while place is not None and len(place.macros) == 1:
        place = PLACES[place.macros[0]]
    return place
