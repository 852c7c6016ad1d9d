import pytest

from slac_tf.utils import checks


def test_counts_are_let_through():
    checks.counts("build_x", a=1, b=1000)


@pytest.mark.parametrize("value", [0, -3, 2.0, True, None, "4"])
def test_what_is_no_count_is_named(value):
    with pytest.raises(ValueError) as caught:
        checks.counts("build_x", a=1, b=value)
    assert str(caught.value) == f"build_x.b: {value!r}, expected an integer of at least 1"
