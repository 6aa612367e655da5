"""The table as bars: one group a row, one bar a server, a whisker from the smallest to the largest round."""

from collections.abc import Sequence
from html import escape

from tests.bench.measure import FLOOR, GO, NODE, Spread
from tests.bench.table import PEERS, Row

_COLOURS = {NODE: "#2f6fdb", FLOOR: "#9aa3ad", GO: "#e0a030"}
_NAMES = {NODE: "node", **PEERS}
_WIDTH, _LEFT, _BARS, _BAR, _GAP = 860, 280, 400, 12, 14


def svg(rows: Sequence[Row], about: str) -> str:
    """A picture of all rows; each row has a scale of its own, since units differ.

    Args:
        rows: what was measured.
        about: the machine and the day.
    """
    parts: list[str] = []
    top = 64.0
    for row in rows:
        parts += _group(row, top)
        top += len(row.figures) * (_BAR + 3) + _GAP
    legend = "".join(
        f'<rect x="{20 + at * 90}" y="36" width="12" height="12" fill="{_COLOURS[name]}"/>'
        f'<text x="{38 + at * 90}" y="46">{_NAMES[name]}</text>'
        for at, name in enumerate(_COLOURS)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top:.0f}" width="{_WIDTH}" '
        'font-family="sans-serif" font-size="11" fill="#333">\n'
        f'<rect width="{_WIDTH}" height="{top:.0f}" fill="#fff"/>\n'
        f'<text x="20" y="22" font-size="13">Less is better; lines span all rounds. {escape(about)}</text>\n'
        + legend
        + "\n"
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _group(row: Row, top: float) -> list[str]:
    most = max(spread.maximum for spread in row.figures.values())
    middle = top + len(row.figures) * (_BAR + 3) / 2
    parts = [f'<text x="{_LEFT - 10}" y="{middle:.0f}" text-anchor="end">{escape(row.name)}</text>']
    for at, (name, spread) in enumerate(row.figures.items()):
        parts.append(_bar(spread, name, row.unit, top + at * (_BAR + 3), _BARS / most if most else 0.0))
    return parts


def _bar(spread: Spread, name: str, unit: str, top: float, scale: float) -> str:
    low, width, high = (value * scale for value in spread)
    middle = top + _BAR / 2
    return (
        f'<rect x="{_LEFT}" y="{top:.0f}" width="{width:.1f}" height="{_BAR}" fill="{_COLOURS[name]}"/>'
        f'<path d="M{_LEFT + low:.1f} {middle:.1f}H{_LEFT + high:.1f}" stroke="#333"/>'
        f'<text x="{_LEFT + high + 6:.1f}" y="{top + _BAR - 2:.0f}">{spread.median:.3g} {escape(unit)}</text>'
    )
