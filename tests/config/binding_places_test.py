import pytest

from slac_tf.config import binding_places


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda name, text: (tmp_path / name).write_text(text)


def test_the_last_binding_of_a_name_is_the_one_in_effect(write):
    write("first.gin", "# a comment\nf.a = 1\nsome.module.f.b = (\n    2,\n)\nscope/f.c = 3\n")
    write("second.gin", "include 'first.gin'\nMACRO = [@g, {'k': @scope/h()}]\nf.a = (%MACRO, 1)\n")
    found = binding_places.find(["first.gin", "second.gin"], ["f.b = %MACRO"])
    assert found == [
        ("f.c", "first.gin, line 6", [], []),
        ("MACRO", "second.gin, line 2", [], ["g", "h"]),
        ("f.a", "second.gin, line 3", ["MACRO"], []),
        ("f.b", "--gin_bindings='f.b = %MACRO'", ["MACRO"], []),
    ]
    assert [place.name for place in binding_places.find([], ["scope/MACRO = 1"])] == ["scope/MACRO"]


def test_bindings_in_a_block(write):
    write("block.gin", "f:\n    a = 1\n    b = 2\n")
    assert [place[:2] for place in binding_places.find(["block.gin"], [])] == [
        ("f.a", "block.gin, line 2"),
        ("f.b", "block.gin, line 3"),
    ]


def test_loop_of_includes(write):
    write("a.gin", "f.a = 1\ninclude 'b.gin'\n")
    write("b.gin", "\n\ninclude 'a.gin'\n")
    write("itself.gin", "include 'itself.gin'\n")
    assert binding_places.loop_of_includes("a.gin") == "b.gin, line 3"
    assert binding_places.loop_of_includes("itself.gin") == "itself.gin, line 1"


def test_loop_of_macros():
    loop = ["A = %B", "B = (%C, 1)", "C = %B", "f.a = %A"]
    assert binding_places.loop_of_macros(binding_places.find([], loop)).name == "B"
    assert binding_places.loop_of_macros(binding_places.find([], ["A = %B", "B = %C", "f.a = (%A, %B)"])) is None


def test_binding_that_a_message_is_about():
    places = binding_places.find([], ["f.a = 1", "g.a = %MACRO", "f.b = 2", "MACRO = 3", "f.c = (%MACRO, %OTHER)"])

    def of(message, called=(), read=()):
        place = binding_places.of_message(message, called, read, places)
        return place and place.name

    assert of("f.a: 1, expected 2") == "f.a"
    assert of("f.nothing: 1, expected 2") is None
    assert of("g.a: 3, expected 2") == "MACRO"  # where the value stands
    assert of("f.c: 3, expected 2") == "f.c"
    assert of("a=1: expected 2", called=["h", "f", "g"]) == "f.a"
    assert of("b: 2, expected 3", read=["f.b", "f.a", "g.a"]) == "f.b"
    assert of("a: 1, expected 2", read=["f.b", "f.a", "g.a"]) is None  # which of the two?
    assert of("b: 2, expected 3") is None
    assert of("expected another: set MACRO = 4") == "MACRO"
    assert of("an episode of f") is None
