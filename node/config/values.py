"""Turns what a file, a variable or a command line says into an option's type. Pure; knows no paths."""

import json
import re
from typing import Any, Literal, get_args, get_origin

from node.config.durations import Duration, parse_duration

_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})
# int() alone would take "1_000" and digits of other scripts, and refuse thousands of digits.
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")
_NUMBER_MAX = 1e15
_SHOWN_CHARS = 40


class WrongType(Exception):
    """A value does not fit its option.

    Args:
        expected: what would, with an example.
        index: which entry of a list was wrong, None for the whole value.
    """

    def __init__(self, expected: str, index: int | None = None) -> None:
        super().__init__(expected)
        self.expected = expected
        self.index = index


def show(value: object) -> str:
    """A value for an error message, shortened."""
    if value is None:
        return "nothing"
    if isinstance(value, dict | list):
        return "a section" if isinstance(value, dict) else "a list"
    text = json.dumps(value) if isinstance(value, str | bool | int | float) else type(value).__name__
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 3] + "..."


def convert(value: object, kind: Any) -> object:
    """A value of a file, or of Python, as the option's type.

    Args:
        value: what the parser made of it.
        kind: the option's type: bool, int, float, str, Duration, a Literal, or a tuple of one of these.

    Raises:
        WrongType: it does not fit.
    """
    if get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            raise WrongType(expectation(kind))
        item_kind = get_args(kind)[0]
        items = []
        for index, item in enumerate(value):
            try:
                items.append(convert(item, item_kind))
            except WrongType as wrong:
                raise WrongType(wrong.expected, index) from None
        return tuple(items)
    if kind is Duration:
        try:
            return parse_duration(value)
        except ValueError:
            raise WrongType(expectation(kind)) from None
    if get_origin(kind) is Literal:
        # Also a bare `on` or `null` of YAML ends here, since no option's choice is a boolean.
        if isinstance(value, str) and value in get_args(kind):
            return value
        raise WrongType(expectation(kind))
    if kind is float:
        if type(value) in (int, float) and -_NUMBER_MAX <= value <= _NUMBER_MAX:  # type: ignore[operator]
            return float(value)  # type: ignore[arg-type]
        raise WrongType(expectation(kind))
    # bool is a subclass of int, so the types are compared, not tested with isinstance.
    if type(value) is not kind:
        raise WrongType(expectation(kind))
    return value


def convert_text(text: str, kind: Any) -> object:
    """A value of an environment variable or a command line as the option's type.

    Args:
        text: as it was given; lists are comma-separated.
        kind: see `convert`.

    Raises:
        WrongType: it does not fit.
    """
    if get_origin(kind) is tuple:
        items = [item.strip() for item in text.split(",")] if text.strip() else []
        return tuple(convert_text(item, get_args(kind)[0]) for item in items)
    if kind is bool:
        lowered = text.strip().lower()
        if lowered in _TRUE | _FALSE:
            return lowered in _TRUE
        raise WrongType(expectation(kind))
    if kind is int:
        stripped = text.strip()
        if _WHOLE_NUMBER.fullmatch(stripped):
            return int(stripped)
        raise WrongType(expectation(kind))
    if kind is float:
        try:
            number = float(text)
        except ValueError:
            raise WrongType(expectation(kind)) from None
        return convert(number, kind)
    return convert(text, kind)


def expectation(kind: Any) -> str:
    """What fits an option, with an example."""
    if get_origin(kind) is tuple:
        return f"a list, each entry {expectation(get_args(kind)[0])}"
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(f'"{choice}"' for choice in get_args(kind))
    return {
        bool: "true or false",
        int: "a whole number, for example 300",
        float: "a number, for example 0.5",
        str: 'text, for example "news" (numbers in quotes)',
        Duration: 'a time span, for example 30 (seconds), "500ms", "5m" or "1h30m"',
    }[kind]
