"""The figures as pictures: bars with a whisker from the smallest to the largest round, and histograms.

SVG written by hand. A picture brings its own background and follows the reader's light or dark scheme,
so that it can be read wherever it is shown.
"""

from collections.abc import Iterable, Sequence
from html import escape

from tests.bench.delays import Delays
from tests.bench.measure import FLOOR, GO, GO_NATS, HYPERCORN, NODE, TRIO_WEBSOCKET, WEBSOCKET, Spread
from tests.bench.table import PEERS, Row

_NAMES = {NODE: "node", **PEERS}
_LIGHT = {NODE: "#2563c9", FLOOR: "#8a929b", GO: "#c77c11", GO_NATS: "#a3541f"}
_DARK = {NODE: "#6ea8ff", FLOOR: "#9aa4af", GO: "#e8a33d", GO_NATS: "#d9824a"}
_LIGHT |= {TRIO_WEBSOCKET: "#2e8555", HYPERCORN: "#8250c4"}
_DARK |= {TRIO_WEBSOCKET: "#56b881", HYPERCORN: "#b78cf2"}
_LIGHT |= {WEBSOCKET: "#8a929b"}
_DARK |= {WEBSOCKET: "#9aa4af"}
# Each picture: what it is about, and with which words the rows begin that it shows.
PICTURES = {
    "deliveries": ("CPU time per delivery", ("fanout", "burst", "scale")),
    "ways": ("CPU time per delivery at a low rate, next to ready-made ways", ("low rate",)),
    "transports": ("CPU time per delivery of each transport", ("transports",)),
    "clients": ("What a client costs: connecting, and being there", ("connect", "memory")),
    "publish": ("CPU time per publication over HTTP", ("publish",)),
}
LATENCY = "latency"
_WIDTH, _LEFT, _BARS, _BAR, _GAP = 820, 220, 400, 13, 12
_PANEL, _COLUMNS = 120, 740


def pictures(rows: Sequence[Row], about: str) -> dict[str, str]:
    """All pictures that the rows give, by name.

    Args:
        rows: what was measured.
        about: the machine and the day.
    """
    found = {}
    for name, (title, starts) in PICTURES.items():
        shown = [row for row in rows if row.name.startswith(starts)]
        if shown:
            found[name] = _bars(shown, title, about)
    drawn = [(row, *each) for row in rows if row.draws_delays for each in row.delays.items()]
    if drawn:
        found[LATENCY] = _histograms(drawn, about)
    return found


def _bars(rows: Sequence[Row], title: str, about: str) -> str:
    """A group a row, a bar a server; rows of one unit share a scale."""
    most: dict[str, float] = {}
    for row in rows:
        highest = max(spread.maximum for spread in row.figures.values())
        most[row.unit] = max(most.get(row.unit, 0.0), highest)
    parts: list[str] = []
    top = 74.0
    for row in rows:
        scale = _BARS / most[row.unit] if most[row.unit] else 0.0
        middle = top + len(row.figures) * (_BAR + 3) / 2
        parts.append(_text(_LEFT - 12, middle, row.name, "end"))
        parts.append(_text(_LEFT - 12, middle + 13, row.unit, "end", "faint"))
        for at, (name, spread) in enumerate(row.figures.items()):
            parts.append(_bar(spread, name, top + at * (_BAR + 3), scale))
        top += max(2, len(row.figures)) * (_BAR + 3) + _GAP
    return _picture(f"{title} (less is better)", f"Medians; lines span all rounds. {about}", parts, top)


def _bar(spread: Spread, name: str, top: float, scale: float) -> str:
    low, width, high = (value * scale for value in spread)
    middle = top + _BAR / 2
    return (
        f'<rect class="{name}" x="{_LEFT}" y="{top:.0f}" width="{width:.1f}" height="{_BAR}" rx="2"/>'
        f'<path class="line" d="M{_LEFT + low:.1f} {middle:.1f}H{_LEFT + high:.1f}"/>'
        + _text(_LEFT + high + 7, top + _BAR - 2, f"{_short(spread.median)}  {_NAMES[name]}")
    )


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _histograms(drawn: Sequence[tuple[Row, str, Delays]], about: str) -> str:
    """A panel for each row and server, on one axis of buckets."""
    limits = sorted({limit for _, _, delays in drawn for limit, _ in delays.buckets})
    step = _COLUMNS / len(limits)
    parts: list[str] = []
    top = 78.0
    for row, server, delays in drawn:
        kind = row.name.split(",")[0].removeprefix("latency ")
        parts.append(_text(40, top, f"{kind}, {_NAMES[server]}: {delays}"))
        most = max(count for _, count in delays.buckets)
        for limit, count in delays.buckets:
            height = count / most * (_PANEL - 44)
            x, y = 40 + limits.index(limit) * step, top + _PANEL - 34 - height
            shape = f'x="{x:.1f}" y="{y:.1f}" width="{step - 2:.1f}" height="{height:.1f}"'
            parts.append(f'<rect class="{server}" {shape}/>')
        for at, limit in enumerate(limits):
            parts.append(_text(40 + (at + 1) * step - 1, top + _PANEL - 20, f"{limit:g}", "end", "faint"))
        top += _PANEL
    title = "From publishing on one node to delivery on another"
    return _picture(title, f"Deliveries by time, each bar up to so many ms; all samples. {about}", parts, top)


def _text(x: float, y: float, text: str, anchor: str = "start", kind: str = "text") -> str:
    return f'<text class="{kind}" x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(text)}</text>'


def _style(colours: dict[str, str], back: str, text: str, faint: str) -> str:
    servers = "".join(f".{name}{{fill:{colour}}}" for name, colour in colours.items())
    named = f".back{{fill:{back}}}.text{{fill:{text}}}.faint{{fill:{faint}}}.line{{stroke:{text}}}"
    return servers + named


def _picture(title: str, under: str, parts: Iterable[str], height: float) -> str:
    dark = _style(_DARK, "#161b22", "#e6edf3", "#9aa4af")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" width="{_WIDTH}" '
        f'height="{height:.0f}" font-family="system-ui, sans-serif" font-size="12">\n'
        f"<style>{_style(_LIGHT, '#ffffff', '#1f2328', '#59636e')}"
        f"@media (prefers-color-scheme: dark){{{dark}}}</style>\n"
        f'<rect class="back" width="{_WIDTH}" height="{height:.0f}" rx="6"/>\n'
        f'<text class="text" x="24" y="30" font-size="15" font-weight="600">{escape(title)}</text>\n'
        + _text(24, 50, under, kind="faint")
        + "\n"
        + "\n".join(parts)
        + "\n</svg>\n"
    )
