"""Puts a run's tables and pictures where people read them, so that documents say what the command measured.

A document has places between two lines, `<!-- bench:begin NAME -->` and `<!-- bench:end -->`; what is between
them belongs to this file and is replaced as a whole.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.bench.plot import LATENCY, PICTURES, pictures
from tests.bench.rendering import main_table, notes, others_table, short_table
from tests.bench.table import Row

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ("README.md", "ARCHITECTURE.md")
FIGURES = "tests/bench/figures"
_PLACE = re.compile(r"(<!-- bench:begin (\w+) -->\n)(.*?)(<!-- bench:end -->)", re.DOTALL)
_BEGIN, _END = "<!-- bench:begin", "<!-- bench:end"
_ALTERNATIVES = {
    "deliveries": "CPU time per delivery, as bars; the tables have the figures",
    "ways": "CPU time per delivery of ready-made ways, as bars; the tables have the figures",
    "transports": "CPU time per delivery of each transport, as bars; the tables have the figures",
    "clients": "CPU time to connect a client and memory of an idle one, as bars; the tables have the figures",
    "publish": "CPU time per publication, as bars; the tables have the figures",
    LATENCY: "How many deliveries took how long across two nodes, as histograms",
}


class PlaceError(Exception):
    """A document whose places cannot be found; the message says which and why."""


def texts(rows: Sequence[Row], about: Mapping[str, str], missing: Mapping[str, str]) -> dict[str, str]:
    """What belongs into each place, by the place's name: `short` and `full`."""
    told = f"Measured by `./broadcast bench --write`: {_machine(about)}. Medians of several rounds"
    details = ["<details><summary>Notes of this run</summary>", "\n".join(notes(rows, missing)), "</details>"]
    shown = [*PICTURES, LATENCY]
    short = [short_table(rows), _image("deliveries"), f"{told}."]
    full = [
        f"{told}; in brackets, the smallest and the largest.",
        main_table(rows),
        others_table(rows),
        *map(_image, shown),
        *details,
    ]
    return {"short": _paragraphs(short), "full": _paragraphs(full)}


def _paragraphs(parts: list[str]) -> str:
    return "\n\n".join(part for part in parts if part)


def _machine(about: Mapping[str, str]) -> str:
    return f"{about['date']}, {about['processors']}, {about['system']}, Python {about['python']}"


def _image(name: str) -> str:
    return f"![{_ALTERNATIVES[name]}]({FIGURES}/{name}.svg)"


def filled(document: str, contents: Mapping[str, str]) -> str:
    """A document with its places filled anew; everything else stays as it is.

    Args:
        document: its text.
        contents: by the name of the place.

    Raises:
        PlaceError: it has no place, one without an end, or one with an unknown name.
    """
    places = _PLACE.findall(document)
    if not places or not len(places) == document.count(_BEGIN) == document.count(_END):
        raise PlaceError(f"it needs lines `{_BEGIN} NAME -->` and `{_END} -->`, each with the other")
    for _, name, *_ in places:
        if name not in contents:
            raise PlaceError(f"it has a place `{name}`; there are {', '.join(contents)}")
    return _PLACE.sub(lambda found: f"{found[1]}{contents[found[2]]}\n{found[4]}", document)


def draw(rows: Sequence[Row], about: Mapping[str, str], folder: Path) -> list[Path]:
    """Write the pictures that the rows give into a folder, which is made if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, picture in pictures(rows, _machine(about)).items():
        written.append(folder / f"{name}.svg")
        written[-1].write_text(picture)
    return written


def write(
    rows: Sequence[Row], about: Mapping[str, str], missing: Mapping[str, str], root: Path = ROOT
) -> None:
    """Fill the places of all documents, and draw the pictures they show.

    Args:
        rows: of a whole run.
        about: the machine and the day.
        missing: peers that could not be had, with the reason.
        root: of the checkout.

    Raises:
        PlaceError: a document has no place for them; nothing is written then.
    """
    contents = texts(rows, about, missing)
    changed = {}
    for name in DOCUMENTS:
        try:
            changed[root / name] = filled((root / name).read_text(), contents)
        except PlaceError as error:
            raise PlaceError(f"{name}: {error}") from None
    draw(rows, about, root / FIGURES)
    for path, text in changed.items():
        path.write_text(text)
