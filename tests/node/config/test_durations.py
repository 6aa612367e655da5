"""Time spans in configuration files."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.config.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (300, 300.0),
        (0.5, 0.5),
        (0, 0.0),
        ("300", 300.0),
        ("300s", 300.0),
        ("500ms", 0.5),
        ("700ms", 0.7),
        ("5m", 300.0),
        ("2h", 7200.0),
        ("720h", 2_592_000.0),
        ("1h30m", 5400.0),
        ("1.5h", 5400.0),
        (" 2m ", 120.0),
    ],
)
def test_usual_ways_to_write_a_time_span(written: object, seconds: float) -> None:
    """Numbers are seconds; text may use ms, s, m and h, one after another."""
    assert parse_duration(written) == seconds


@pytest.mark.parametrize(
    "written",
    [
        "",
        "-5s",
        -1,
        "5 m",
        "5d",
        "m5",
        "1h 30m",
        "1,5s",
        "1e3",
        "٣s",
        "..5s",
        True,
        None,
        [5],
        float("nan"),
        float("inf"),
        "9" * 400,
        10**400,
        "1000000h",
    ],
)
def test_anything_else_is_refused(written: object) -> None:
    """No sign, no spaces, no other unit, nothing infinite and nothing above a hundred years."""
    with pytest.raises(ValueError, match="not "):
        parse_duration(written)


@given(st.floats(0, 1e9) | st.integers(0, 10**9))
def test_formatting_round_trips(seconds: float) -> None:
    """What `check-config` prints can be written back into a file without changing the setting."""
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (25, "25s"), (2_592_000, "720h"), (0.05, "50ms")])
def test_formatting_uses_the_largest_whole_unit(seconds: float, text: str) -> None:
    """People read `720h`, not 2592000."""
    assert format_duration(seconds) == text


@given(st.text(alphabet="0123456789.hms -+e", max_size=30) | st.text())
def test_garbage_raises_value_error_only(text: str) -> None:
    """Whatever a file says, the answer is a span or a ValueError."""
    with suppress(ValueError):
        assert parse_duration(text) >= 0
