import pytest

from slac_tf.utils import checks


def test_counts_are_let_through():
    checks.counts("build_x", a=1, b=1000)


@pytest.mark.parametrize("value", [0, -3, 2.0, True, None, "4"])
def test_what_is_no_count_is_named(value):
    with pytest.raises(ValueError) as caught:
        checks.counts("build_x", a=1, b=value)
    assert str(caught.value) == f"build_x.b: {value!r}, expected an integer of at least 1"


NAN, INFINITE = float("nan"), float("inf")
REFUSED = {
    checks.sizes: ([16, "16", (16, 0), (16, 1.5), (True,), None], "integers of at least 1 such as (256, 256)"),
    checks.fractions: ([-0.1, 1.1, NAN, INFINITE, True, "0.9", None], "a number from 0 to 1"),
    checks.not_negative: ([-1e-9, NAN, INFINITE, False, "0", None], "a number of at least 0"),
    checks.positive: ([0, -1, NAN, INFINITE, True, "1", None], "a number above 0"),
    checks.numbers: ([NAN, -INFINITE, True, "1", None, (1,)], "a number"),
    checks.booleans: ([0, 1, "True", None], "True or False"),
    checks.references: (["slac", 3, None], "a reference: @ and a name, without quotes"),
}
LET_THROUGH = {
    checks.sizes: [(), (16,), [16, 1]],
    checks.fractions: [0, 1, 0.5],
    checks.not_negative: [0, 3, 1e-9],
    checks.positive: [3, 1e-9],
    checks.numbers: [-3, 0, 1.5],
    checks.booleans: [True, False],
    checks.references: [print, int],
}


@pytest.mark.parametrize("check", REFUSED, ids=lambda check: check.__name__)
def test_what_does_not_fit_is_named(check):
    values, expected = REFUSED[check]
    for value in values:
        with pytest.raises(ValueError) as caught:
            check("build_x", a=LET_THROUGH[check][0], b=value)
        assert str(caught.value) == f"build_x.b: {value!r}, expected {expected}"


@pytest.mark.parametrize("check", LET_THROUGH, ids=lambda check: check.__name__)
def test_what_fits_is_let_through(check):
    for value in LET_THROUGH[check]:
        check("build_x", a=value)
