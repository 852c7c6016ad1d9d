import gin
import pytest

from slac_tf.config import binding_places


@gin.configurable(module="some.module")
def binds(a=1, b=1, c=1):
    return a, b, c


@gin.configurable
def also_binds(a=1):
    return a


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Reads the files of this text, and then the bindings; the first file is the one that is named."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gin.config, "_LOCATION_PREFIXES", [""])
    binding_places.PLACES.clear()

    def call(files, *bindings):
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        for name in list(files)[:1]:
            with binding_places.noted("unused"):
                gin.parse_config_file(name)
        for binding in bindings:
            with binding_places.noted(f"by hand {binding}"):
                gin.parse_config(binding)
        return list(binding_places.PLACES.values())

    yield call
    binding_places.PLACES.clear()


def test_the_last_binding_of_a_name_is_the_one_in_effect(read):
    second = "include 'first.gin'\nMACRO = [@binds, {'k': @scope/also_binds()}]\nbinds.a = (%MACRO, 1)\n"
    first = "# a comment\nbinds.a = 1\nsome.module.binds.b = (\n    2,\n)\nscope/binds.c = 3\n"
    assert read({"second.gin": second, "first.gin": first}, "binds.b = %MACRO", "scope/MACRO = 1") == [
        ("binds.c", "first.gin, line 6", [], []),
        ("MACRO", "second.gin, line 2", [], ["binds", "also_binds"]),
        ("binds.a", "second.gin, line 3", ["MACRO"], ["macro"]),
        ("binds.b", "by hand binds.b = %MACRO", ["MACRO"], ["macro"]),
        ("scope/MACRO", "by hand scope/MACRO = 1", [], []),
    ]


def test_bindings_in_a_block(read):
    assert [place[:2] for place in read({"block.gin": "binds:\n    a = 1\n    b = 2\n"})] == [
        ("binds.a", "block.gin, line 2"),
        ("binds.b", "block.gin, line 3"),
    ]


def test_includes_that_lead_back(read):
    with pytest.raises(ValueError, match=r'a.gin: its include lines lead back to it\n  In file "b.gin", line 3'):
        read({"a.gin": "binds.a = 1\ninclude 'b.gin'\n", "b.gin": "\n\ninclude 'a.gin'\n"})
    both = "include 'leaf.gin'\ninclude 'leaf.gin'\n"  # twice is no loop
    assert len(read({"both.gin": both, "leaf.gin": "binds.b = 1\n"})) == 2


@pytest.mark.parametrize("loop", [["A = %A"], ["A = %B", "B = (%C, 1)", "C = %B"]])
def test_macros_that_lead_back(read, loop):
    read({}, "binds.a = %A", *loop)
    with pytest.raises(
        ValueError, match=r"[AB]: the macro's value leads back to it, expected a value \(by hand [AC] = "
    ):
        binding_places.check_macros()


def test_macros_that_are_bound_or_not(read):
    read({}, "A = %B", "B = %C", "binds.a = (%A, %B)", "C = 1")
    binding_places.check_macros()
    read({}, "C = %D")
    with pytest.raises(ValueError, match=r"%D is no macro that is bound, expected D = VALUE \(by hand C = %D\)"):
        binding_places.check_macros()


def test_binding_that_a_message_is_about(read):
    read(
        {},
        "binds.a = 1",
        "also_binds.a = %MACRO",
        "binds.b = 2",
        "MACRO = 3",
        "OTHER = 1",
        "binds.c = (%MACRO, %OTHER)",
    )

    def of(message, read=()):
        place = binding_places.of_message(message, read)
        return place and place.name

    assert of("binds.a: 1, expected 2") == "binds.a"
    assert of("binds.nothing: 1, expected 2") is None
    assert of("also_binds.a: 3, expected 2") == "MACRO"  # where the value stands
    assert of("binds.c: 3, expected 2") == "binds.c"
    assert of("b=2: expected 3", read=["binds.b", "binds.a", "also_binds.a"]) == "binds.b"
    assert of("a: 1, expected 2", read=["binds.b", "binds.a", "also_binds.a"]) is None  # which of the two?
    assert of("a: 1, expected 2", read=["binds.b", "binds.a"]) == "binds.a"
    assert of("b: 2, expected 3") is None
    assert of("expected another: set MACRO = 4") == "MACRO"
    assert of("an episode of binds") is None
