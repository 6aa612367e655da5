"""Values of files and of texts as options' types."""

from contextlib import suppress
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.config.options import Duration
from node.config.values import WrongType, convert, convert_text, show

KINDS = [bool, int, float, str, Duration, Literal["a", "b"], tuple[str, ...], tuple[Duration, ...]]
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(plain, st.sampled_from(KINDS))
def test_whatever_a_file_holds_fits_or_is_a_wrong_type(value: object, kind: object) -> None:
    """No other exception, and a value can always be shown."""
    assert len(show(value)) <= 40
    with suppress(WrongType):
        convert(value, kind)


@given(st.text(max_size=20) | st.from_regex(r"-?[0-9_.,]{1,30}"), st.sampled_from(KINDS))
def test_whatever_a_variable_holds_fits_or_is_a_wrong_type(text: str, kind: object) -> None:
    """No other exception."""
    with suppress(WrongType):
        convert_text(text, kind)


@pytest.mark.parametrize("text", ["1_000", "٣", "9" * 5000, "0x10", "1.0", "", "- 1"])
def test_only_plain_digits_are_whole_numbers(text: str) -> None:
    """What Python's int would take beyond that is a typing mistake here."""
    with pytest.raises(WrongType):
        convert_text(text, int)


@pytest.mark.parametrize(("text", "number"), [("1", 1.0), ("1e2", 100.0)])
def test_a_number_may_be_written_whole(text: str, number: float) -> None:
    """`1` is as good as `1.0` where a share is meant."""
    assert convert_text(text, float) == convert(number, float) == convert(int(number), float)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, "0.5", 10**400])
def test_a_number_is_finite(value: object) -> None:
    """What could not be compared with a limit is no number."""
    with pytest.raises(WrongType):
        convert(value, float)


def test_the_place_in_a_list_is_kept() -> None:
    """The message can say which entry."""
    with pytest.raises(WrongType) as caught:
        convert(["a", 1], tuple[str, ...])
    assert caught.value.index == 1
