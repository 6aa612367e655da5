"""Time spans as people write them: `30`, `"300s"`, `"500ms"`, `"1h30m"`. Pure."""

import math
import re
from decimal import Decimal

_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = r"(?:\d+(?:\.\d+)?|\.\d+)(?:ms|s|m|h)"
_WHOLE = re.compile(f"(?:{_PART})+", re.ASCII)
_PARTS = re.compile(r"([\d.]+)(ms|s|m|h)", re.ASCII)
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
# Far above any use, and still exact as a float and as nanoseconds in 64 bits.
_MAX_S = 100 * 365 * 86_400.0


class Duration(float):
    """A time span in seconds; a type of its own so that files may write it with a unit."""


def parse_duration(value: object) -> Duration:
    """A number of seconds, or text with units; both without a sign.

    Args:
        value: seconds as int or float, or text: a number of seconds, or numbers with the units
            `ms`, `s`, `m`, `h` one after another.

    Raises:
        ValueError: anything else, more than a hundred years included.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        # Compared before the conversion: a whole number too large for a float would overflow in it.
        seconds = float(value) if 0 <= value <= _MAX_S else math.nan
    elif isinstance(value, str):
        seconds = _parse_text(value.strip())
    else:
        raise ValueError("not a time span")  # noqa: TRY004 - one error for whatever a file may hold
    if not 0 <= seconds <= _MAX_S:
        raise ValueError("not between zero and a hundred years")
    return Duration(seconds)


def _parse_text(text: str) -> float:
    if _NUMBER.fullmatch(text):
        return float(text)
    if not _WHOLE.fullmatch(text):
        raise ValueError("not a time span")
    # Milliseconds are divided, not multiplied by 0.001, so that "700ms" is 0.7 exactly.
    return sum(
        float(number) / 1000 if unit == "ms" else float(number) * _UNIT_S[unit]
        for number, unit in _PARTS.findall(text)
    )


def format_duration(seconds: float) -> str:
    """A usual way to write a time span: `720h`, `90s`, `500ms`; `parse_duration` gives it back."""
    for unit in ("h", "m"):
        count = round(seconds / _UNIT_S[unit])
        if count and count * _UNIT_S[unit] == seconds:
            return f"{count}{unit}"
    count = round(seconds * 1000)
    if 0 < count < 1000 and count / 1000 == seconds:
        return f"{count}ms"
    # repr is the shortest text of a float, Decimal writes it without an exponent.
    return f"{Decimal(repr(float(seconds))):f}".removesuffix(".0") + "s"
