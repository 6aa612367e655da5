"""Plots over one time axis, as one SVG: faults on top and as bands through everything, then panels.

Colours are classes; the page that shows it has them, for light and for dark.
"""

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

_WIDTH, _LEFT, _RIGHT = 1000, 84, 16
_PANEL, _TITLE, _SPACE = 110, 26, 22
_LANE, _ROW = 18, 13
_LETTER = 6.0  # how wide one of a name is, about
_NOTHING = 1e-9  # what is smaller is drawn as zero
_TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)


class Span(NamedTuple):
    """A bar on the time axis.

    Attributes:
        began: seconds.
        ended: seconds.
        label: what it says.
        kind: its class.
    """

    began: float
    ended: float
    label: str
    kind: str


class Line(NamedTuple):
    """A line in a panel.

    Attributes:
        label: what it is.
        kind: its class.
        values: one for each moment, None where there is none.
    """

    label: str
    kind: str
    values: Sequence[float | None]


class Panel(NamedTuple):
    """Lines with a scale of their own.

    Attributes:
        title: what is shown, with its unit.
        lines: shown in it.
        logarithmic: whether tenfold steps are of one height.
    """

    title: str
    lines: Sequence[Line]
    logarithmic: bool = False


class Rows(NamedTuple):
    """A row for each of several, with bars where something was.

    Attributes:
        title: what is shown.
        rows: spans by name.
        kinds: of spans, in the order they are drawn, and how much of the row's height each takes.
    """

    title: str
    rows: dict[str, list[Span]]
    kinds: tuple[tuple[str, float], ...]


def plot(
    end: float,
    step: float,
    faults: Sequence[Span],
    marks: Sequence[tuple[float, str]],
    parts: Iterable[Panel | Rows],
) -> str:
    """All panels below each other.

    Args:
        end: of the time axis, seconds; it begins at 0.
        step: between the values of lines, seconds.
        faults: drawn as bands through all panels, named on top.
        marks: moments that are named on top, by time: the phases of the run.
        parts: panels and rows, from the top.
    """
    axis = _Axis(end)
    named = _marks(axis, marks)
    names = [_fault_name(axis, span) for span in faults]
    lanes = _lanes([(name.left, name.right) for name in names])
    top = 20.0
    drawn = []
    for span, name, lane in zip(faults, names, lanes, strict=True):
        drawn.append(axis.bar(span, top + lane * _LANE, _LANE - 4))
        drawn.append(_text(name.x, top + lane * _LANE + 11, span.label, name.kind, name.anchor))
    top += (max(lanes, default=-1) + 1) * _LANE + 6
    begin = top
    body = []
    for part in parts:
        if isinstance(part, Rows):
            text, height = _rows(part, axis, top)
        else:
            text, height = _panel(part, axis, step, top)
        body.append(text)
        top += height + _SPACE
    bottom = top - _SPACE
    bands = [axis.bar(span._replace(kind=f"band {span.kind}"), begin, bottom - begin) for span in faults]
    ticks = [
        _line(axis.x(t), begin, axis.x(t), bottom, "grid")
        + _text(axis.x(t), bottom + 15, _time(t), "faint", "middle")
        for t in axis.ticks()
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {bottom + 22:.0f}" role="img">\n'
        + "\n".join([*bands, *ticks, *named, *drawn, *body])
        + "\n</svg>"
    )


class _Axis:
    """Seconds to the right."""

    def __init__(self, end: float) -> None:
        self.end = max(end, 1.0)
        self.scale = (_WIDTH - _LEFT - _RIGHT) / self.end

    def x(self, t: float) -> float:
        return _LEFT + min(max(t, 0.0), self.end) * self.scale

    def ticks(self) -> list[int]:
        every = next((step for step in _TICKS if self.end / step <= 14), _TICKS[-1])
        return list(range(0, int(self.end) + 1, every))

    def bar(self, span: Span, y: float, height: float) -> str:
        x = self.x(span.began)
        width = max(1.5, self.x(span.ended) - x)
        seconds = f"{span.began:.1f} to {min(span.ended, self.end):.1f} s"
        box = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
        return f'<rect class="{span.kind}" {box} rx="1"><title>{escape(span.label)}, {seconds}</title></rect>'


def _marks(axis: _Axis, marks: Sequence[tuple[float, str]]) -> list[str]:
    """A tick each; a name where the next tick leaves room for it."""
    places = [axis.x(t) for t, _ in marks]
    drawn = []
    for (_, label), x, end in zip(marks, places, [*places, _WIDTH][1:], strict=True):
        drawn.append(_line(x, 2, x, 16, "tick"))
        if end - x > len(label) * _LETTER + 4:
            drawn.append(_text(x + 3, 12, label, "faint"))
    return drawn


def _lanes(extents: Sequence[tuple[float, float]]) -> list[int]:
    """In which lane each goes, from the left to the right, so that none lies on another."""
    free: list[float] = []
    found = []
    for left, right in extents:
        lane = next((at for at, until in enumerate(free) if until <= left), len(free))
        if lane == len(free):
            free.append(0.0)
        free[lane] = right
        found.append(lane)
    return found


class _Name(NamedTuple):
    """Where the name of a bar stands, and from where to where both reach."""

    x: float
    anchor: str
    kind: str
    left: float
    right: float


def _fault_name(axis: _Axis, span: Span) -> _Name:
    """Behind the bar's end if it is short, where there is room; else within."""
    width = len(span.label) * _LETTER
    start, end = axis.x(span.began), axis.x(span.ended)
    if end - start > width + 8:
        return _Name(start + 5, "start", "onfault", start, end)
    if end + width + 4 < _WIDTH:
        return _Name(end + 4, "start", "faint", start, end + width + 12)
    return _Name(start - 4, "end", "faint", start - width - 4, end)


def _panel(panel: Panel, axis: _Axis, step: float, top: float) -> tuple[str, float]:
    values = [value for line in panel.lines for value in line.values if value is not None]
    floor = top + _TITLE + _PANEL
    scale = _log_scale(values) if panel.logarithmic else _scale(values)
    parts = [_text(_LEFT, top + 14, panel.title, "title")]
    parts.append(_keys([(line.label, line.kind) for line in panel.lines], top))
    for value, label in scale.ticks:
        y = floor - scale.height(value)
        parts.append(_line(_LEFT, y, _WIDTH - _RIGHT, y, "grid"))
        parts.append(_text(_LEFT - 7, y + 4, label, "faint", "end"))
    parts += [_path(line, axis, step, floor, scale) for line in panel.lines]
    return "\n".join(parts), _TITLE + _PANEL


def _keys(named: Sequence[tuple[str, str]], top: float) -> str:
    """What the colours mean, beside the title; of one text, since nobody here knows how wide letters are."""
    keys = "".join(
        f'<tspan class="{kind} key" dx="{14 if at else 0}">●</tspan> {escape(label)}'
        for at, (label, kind) in enumerate(named)
    )
    return f'<text class="text" x="{_WIDTH - _RIGHT}" y="{top + 14:.1f}" text-anchor="end">{keys}</text>'


class _Scale(NamedTuple):
    ticks: list[tuple[float, str]]
    low: float
    high: float
    logarithmic: bool

    def height(self, value: float) -> float:
        if self.logarithmic:
            share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            share = value / self.high
        return min(share, 1.0) * _PANEL


def _scale(values: Sequence[float]) -> _Scale:
    """Three round steps that reach over the largest."""
    most = max(values, default=0.0)
    if most < _NOTHING:
        most = 1.0
    unit = 10.0 ** math.floor(math.log10(most / 3))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor * 3 >= most)
    return _Scale([(step * at, f"{step * at:,g}") for at in range(4)], 0.0, step * 3, logarithmic=False)


def _log_scale(values: Sequence[float]) -> _Scale:
    """Powers of ten around what there is, of seconds."""
    there = [value for value in values if value > 0]
    low = math.floor(math.log10(max(min(there, default=0.001), 1e-4)))
    high = max(low + 1, math.ceil(math.log10(max(there, default=1.0))))
    labels = [
        f"{10 ** (power + 3):g} ms" if power < 0 else f"{10**power:g} s" for power in range(low, high + 1)
    ]
    return _Scale(
        [(10.0**power, label) for power, label in zip(range(low, high + 1), labels, strict=True)],
        10.0**low,
        10.0**high,
        logarithmic=True,
    )


def _path(line: Line, axis: _Axis, step: float, floor: float, scale: _Scale) -> str:
    """Through the middle of each moment; broken where there is nothing, a dot where only one has any."""
    drawn: list[str] = []
    before = False
    for at, value in enumerate(line.values):
        if value is not None:
            x, y = axis.x((at + 0.5) * step), floor - scale.height(value)
            following = at + 1 < len(line.values) and line.values[at + 1] is not None
            drawn.append(f"{'L' if before else 'M'}{x:.1f} {y:.1f}" + ("" if before or following else "h0.1"))
        before = value is not None
    return f'<path class="{line.kind} line" d="{"".join(drawn)}"/>'


def _rows(rows: Rows, axis: _Axis, top: float) -> tuple[str, float]:
    parts = [
        _text(_LEFT, top + 14, rows.title, "title"),
        _keys([(kind, kind) for kind, _ in rows.kinds], top),
    ]
    y = top + _TITLE
    for name, spans in rows.rows.items():
        parts.append(_text(_LEFT - 7, y + 9, name, "faint", "end"))
        for kind, share in rows.kinds:
            height = (_ROW - 2) * share
            margin = (_ROW - 2 - height) / 2
            parts += [axis.bar(span, y + margin, height) for span in spans if span.kind == kind]
        y += _ROW
    return "\n".join(parts), y - top


def _time(t: int) -> str:
    return f"{t // 60}:{t % 60:02}" if t >= 60 else f"{t} s"


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<path class="{kind}" d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"/>'


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
