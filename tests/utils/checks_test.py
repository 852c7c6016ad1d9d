import inspect
from typing import Optional

import gin
import pytest

from slac_tf.utils import checks

NAN, INFINITE = float("nan"), float("inf")
REFUSED = {
    checks.counts: ([0, -3, 2.0, True, None, "4"], "an integer of at least 1"),
    checks.sizes: ([16, "16", (16, 0), (16, 1.5), (True,), None], "integers of at least 1 such as (256, 256)"),
    checks.fractions: ([-0.1, 1.1, NAN, INFINITE, True, "0.9", None], "a number from 0 to 1"),
    checks.not_negative: ([-1e-9, NAN, INFINITE, False, "0", None], "a number of at least 0"),
    checks.positive: ([0, -1, NAN, INFINITE, True, "1", None], "a number above 0"),
    checks.numbers: ([NAN, -INFINITE, True, "1", None, (1,)], "a number"),
    checks.booleans: ([0, 1, "True", None], "True or False"),
    checks.references: (["slac", 3, None], "a reference: @ and a name, without quotes"),
}
LET_THROUGH = {
    checks.counts: [1, 1000],
    checks.sizes: [(), (16,), [16, 1]],
    checks.fractions: [0, 1, 0.5],
    checks.not_negative: [0, 3, 1e-9],
    checks.positive: [3, 1e-9],
    checks.numbers: [-3, 0, 1.5],
    checks.booleans: [True, False],
    checks.references: [print, int],
}


@pytest.mark.parametrize("check", REFUSED)
def test_what_does_not_fit_is_named(check):
    values, expected = REFUSED[check]
    for value in values:
        with pytest.raises(ValueError) as caught:
            check("build_x", a=LET_THROUGH[check][0], b=value)
        assert str(caught.value) == f"build_x.b: {value!r}, expected {expected}"


@pytest.mark.parametrize("check", LET_THROUGH)
def test_what_fits_is_let_through(check):
    for value in LET_THROUGH[check]:
        check("build_x", a=value)


@checks.checked
def build_y(
    spec,
    *,
    size: checks.Count = 3,
    rate: Optional[checks.Positive] = None,
    model: checks.Reference[int] = gin.REQUIRED,
    sizes: checks.Sizes = (),
    of_no_kind: float = -1.0,
):
    return spec, size, rate, model(), sizes, of_no_kind


def test_annotations_are_checks():
    assert build_y("spec", model=int) == ("spec", 3, None, 0, (), -1.0)
    assert build_y(spec=-1, size=1, rate=0.5, model=int, sizes=[2], of_no_kind="x") == (-1, 1, 0.5, 0, [2], "x")
    for settings, message in (
        ({"size": 0}, "build_y.size: 0, expected an integer of at least 1"),
        ({"size": None}, "build_y.size: None, expected an integer of at least 1"),
        ({"rate": -1}, "build_y.rate: -1, expected a number above 0"),
        ({"model": "int"}, "build_y.model: 'int', expected a reference: @ and a name, without quotes"),
        ({"sizes": 8}, "build_y.sizes: 8, expected integers of at least 1 such as (256, 256)"),
    ):
        with pytest.raises(ValueError) as caught:
            build_y("spec", **{"model": int, **settings})
        assert str(caught.value) == message


def test_a_checked_function_is_what_it_was_to_gin():
    assert build_y.__name__ == "build_y"
    assert inspect.getfullargspec(build_y).kwonlyargs == ["size", "rate", "model", "sizes", "of_no_kind"]
    configurable = gin.external_configurable(build_y, "build_checked")
    with pytest.raises(ValueError, match="missing"):
        gin.parse_config("build_checked.missing = 1")
    with pytest.raises(RuntimeError, match="model"):
        configurable("spec")
    gin.parse_config("build_checked.size = 0")
    with pytest.raises(ValueError, match=r"build_y\.size: 0, expected"):
        configurable("spec", model=int)
