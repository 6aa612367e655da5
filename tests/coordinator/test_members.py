"""The view of the cluster."""

from hypothesis import given
from hypothesis import strategies as st

from coordinator.members import (
    DEPARTED_MAX,
    Kind,
    View,
    alive,
    by_kind,
    gone,
    kind_of,
    living,
    receivers,
    seen,
)
from protos.catalog_pb2 import Leaving, NodeReport, NodeStep
from tests.coordinator.reports import NOW, report, view_of


def test_an_older_report_of_the_same_instance_is_ignored() -> None:
    """A catalog that repeats itself makes no silent node look alive."""
    view = view_of(report("a", 5, number=7))
    assert seen(view, report("a", 4, number=6), NOW + 60) is view
    assert seen(view, report("a", 5, number=7), NOW + 60) is view
    assert seen(view, report("a", 6, number=8), NOW + 60).members["a"].heard_at == NOW + 60


def test_a_restarted_node_counts_from_the_beginning() -> None:
    """Another instance is news whatever its number."""
    view = seen(view_of(report("a", number=900)), report("a", instance="a-2", number=1), NOW)
    assert view.members["a"].report.instance == "a-2"


def test_a_silent_node_is_not_alive() -> None:
    """Its time to live ends it, without the catalog saying so."""
    view = seen(view_of(report("a")), report("b"), NOW + 3)
    assert [each.name for each in living(view, NOW + 4.9, 5)] == ["a", "b"]
    assert [each.name for each in living(view, NOW + 5, 5)] == ["b"]
    assert alive(view, "a", NOW + 5, 5) is None
    assert alive(view, "b", NOW + 5, 5) is not None


def test_a_node_that_is_gone_is_not_in_the_view() -> None:
    """Taking out an unknown one changes nothing, and an earlier view stays as it was."""
    view = view_of(report("a"), report("b"))
    assert list(gone(view, "a").members) == ["b"]
    assert gone(view, "c") is view
    assert list(view.members) == ["a", "b"]


def test_the_last_report_of_who_went_is_kept() -> None:
    """Whether a node went empty is known although nobody looked in between; not for ever."""
    view = gone(view_of(report("a", 0)), "a")
    assert view.departed["a-1"].connections == 0
    view = seen(view_of(report("a", 5)), report("a", instance="a-2"), NOW)
    assert view.departed["a-1"].connections == 5
    for number in range(2 * DEPARTED_MAX):
        view = gone(seen(view, report(f"n{number}"), NOW), f"n{number}")
    assert len(view.departed) == DEPARTED_MAX


def test_receivers_are_serving_and_stay() -> None:
    """Neither a node that leaves, nor one that is not ready, nor one that was ordered to leave."""
    unready = report("c")
    unready.state = NodeReport.NOT_READY
    view = view_of(report("a"), report("b", leaving=Leaving()), unready, report("d"))
    assert [each.name for each in receivers(view, NOW, 5, {"d-1"})] == ["a"]


def test_nodes_are_told_apart_by_what_they_serve() -> None:
    """The one for gRPC from all others, those included that name no transport."""
    mute = report("m")
    del mute.addresses[:]
    found = by_kind([report("a"), report("g", transport="grpc"), report("b", transport="sse"), mute])
    assert {each: [one.name for one in reports] for each, reports in found.items()} == {
        Kind.HTTP: ["a", "b", "m"],
        Kind.GRPC: ["g"],
    }
    assert by_kind([]) == {Kind.HTTP: [], Kind.GRPC: []}


def test_the_kind_of_a_node_is_known_after_it_went() -> None:
    """What plans sent away there is still on its way to its kind."""
    step = NodeStep(node="g", instance="g-1")
    view = view_of(report("g", transport="grpc"))
    assert kind_of(view, step) is Kind.GRPC
    assert kind_of(gone(view, "g"), step) is Kind.GRPC
    assert kind_of(seen(view, report("g", instance="g-2"), NOW), step) is Kind.GRPC
    assert kind_of(View(), step) is None


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), st.integers(1, 5))))
def test_the_newest_report_of_the_last_instance_is_known(heard: list[tuple[str, str, int]]) -> None:
    """Whatever comes in whatever order: per node, the highest number since its instance appeared."""
    view = View()
    newest: dict[str, tuple[str, int]] = {}
    for name, instance, number in heard:
        view = seen(view, report(name, instance=instance, number=number), NOW)
        known = newest.get(name, ("", 0))
        newest[name] = (instance, max(number, known[1]) if known[0] == instance else number)
    assert {name: (m.report.instance, m.report.number) for name, m in view.members.items()} == newest
