"""Plots: whole SVG, whatever is in it."""

import itertools
from xml.etree import ElementTree as ET

from hypothesis import example, given
from hypothesis import strategies as st

from chaos.plots import Line, Panel, Rows, Span, plot

SVG = "{http://www.w3.org/2000/svg}"
numbers = st.one_of(st.none(), st.floats(0, 1e9))


@given(
    st.floats(0, 1e5),
    st.integers(1, 10),
    st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1e5), st.text("ab<&", max_size=8))),
    st.lists(numbers, max_size=20),
)
@example(0.0, 1, [], [5e-324])
def test_whatever_happened_can_be_drawn(
    end: float, step: int, faults: list[tuple[float, float, str]], values: list[float | None]
) -> None:
    """No run is so odd that its report cannot be shown."""
    spans = [Span(began, began + length, label, "fault") for began, length, label in sorted(faults)]
    lines = [Line("a", "one", values)]
    rows = Rows("rows <&>", {"c<1>": spans}, (("fault", 1.0),))
    text = plot(
        end, step, spans, [(0.0, "load")], [Panel("p", lines), Panel("q", lines, logarithmic=True), rows]
    )
    ET.fromstring(text)


def test_faults_are_named_and_go_through_everything() -> None:
    """One axis: what is above each other happened at one time."""
    text = plot(
        100.0, 1, [Span(20.0, 40.0, "node-kill", "fault")], [], [Panel("p", [Line("a", "one", [1.0] * 100)])]
    )
    boxes = {box.get("class"): box for box in ET.fromstring(text).iter(f"{SVG}rect")}
    assert (boxes["fault"].get("x"), boxes["fault"].get("width")) == (
        boxes["band fault"].get("x"),
        boxes["band fault"].get("width"),
    )
    assert ">node-kill</text>" in text
    assert "<title>node-kill, 20.0 to 40.0 s</title>" in text


def test_faults_in_force_together_get_lanes_of_their_own() -> None:
    """None hides another."""
    spans = [Span(0.0, 50.0, "a", "fault"), Span(10.0, 20.0, "b", "fault"), Span(60.0, 70.0, "c", "fault")]
    boxes = [
        box
        for box in ET.fromstring(plot(100.0, 1, spans, [], [])).iter(f"{SVG}rect")
        if box.get("class") == "fault"
    ]
    tops = [box.get("y") for box in boxes]
    assert tops[0] == tops[2] != tops[1]


def test_no_name_lies_on_another_fault_or_its_name() -> None:
    """Short faults that follow each other have names that are longer than they are."""
    spans = [Span(at * 4.0, at * 4.0 + 1.0, f"reconnect-storm {at}", "fault") for at in range(24)]
    drawn = ET.fromstring(plot(100.0, 1, spans, [], []))
    boxes = [box for box in drawn.iter(f"{SVG}rect") if box.get("class") == "fault"]
    names = [name for name in drawn.iter(f"{SVG}text") if "storm" in (name.text or "")]
    lanes: dict[str, list[tuple[float, float]]] = {}
    for box, name in zip(boxes, names, strict=True):
        x, bar = float(name.get("x") or 0), float(box.get("x") or 0)
        width = 6.0 * len(name.text or "")
        left = min(bar, x - width if name.get("text-anchor") == "end" else x)
        right = max(bar + 1.5, x if name.get("text-anchor") == "end" else x + width)
        lanes.setdefault(box.get("y") or "", []).append((left, right))
    for taken in lanes.values():
        assert all(one[1] < other[0] for one, other in itertools.pairwise(sorted(taken)))
    assert len(lanes) > 2


def test_a_line_is_broken_where_there_is_nothing() -> None:
    """No line is drawn over a second in which nothing was published; one value alone is a dot."""
    text = plot(5.0, 1, [], [], [Panel("p", [Line("a", "one", [1.0, 2.0, None, 3.0, None])])])
    (path,) = (found for found in ET.fromstring(text).iter(f"{SVG}path") if found.get("class") == "one line")
    assert [
        part[0]
        for part in (path.get("d") or "").replace("L", " L").replace("M", " M").split()
        if part[0] in "ML"
    ] == ["M", "L", "M"]
    assert (path.get("d") or "").endswith("h0.1")
