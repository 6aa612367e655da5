"""Where `/discover` sends clients."""

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from coordinator.placement import Placement
from coordinator.settings import PlanSettings
from protos.catalog_pb2 import Address, Leaving, NodeReport, NodeStep, Plan
from tests.coordinator.reports import NOW, report, view_of


def placement(*reports: NodeReport, plans: tuple[Plan, ...] = ()) -> Placement:
    made = Placement(PlanSettings())
    made.update(view_of(*reports), plans, NOW)
    return made


def ask(placement: Placement, times: int, over_s: float = 0.0, transport: str = "websocket") -> Counter[str]:
    rng = Random(1)
    found: Counter[str] = Counter()
    for index in range(times):
        places = placement.choose(transport, NOW + over_s * index / times, rng)
        found[places[0].node if places else ""] += 1
    return found


def drain_of(*names: str, state: NodeStep.State = NodeStep.PENDING) -> Plan:
    steps = [NodeStep(node=name, instance=f"{name}-1", state=state) for name in names]
    return Plan(id="p", kind=Plan.DRAIN, state=Plan.RUNNING, steps=steps, unavailable_max=1)


def test_more_room_more_clients() -> None:
    """In proportion, within chance."""
    found = ask(placement(report("a", 9_000, rate=9e9), report("b", 6_000, rate=9e9)), 1000)
    assert 140 < found["a"] < 260
    assert found["a"] + found["b"] == 1000


def test_the_answer_is_a_url_and_two_others() -> None:
    """All different; only nodes that speak the transport."""
    mute = report("d")
    del mute.addresses[:]
    mute.addresses.append(Address(transport="grpc", url="d:1"))
    nodes = placement(report("a"), report("b"), report("c"), mute)
    places = nodes.choose("websocket", NOW, Random(1))
    assert sorted(places) == [("a", "ws://a/"), ("b", "ws://b/"), ("c", "ws://c/")]
    assert nodes.choose("grpc", NOW, Random(1)) == [("d", "d:1")]
    assert nodes.choose("carrier pigeon", NOW, Random(1)) == []


def test_what_was_handed_out_counts() -> None:
    """A thousand ask between two reports, and there is room for a hundred: so many are answered."""
    found = ask(placement(report("a", 9_940, rate=9e9), report("b", 9_960, rate=9e9)), 1000)
    assert found == {"a": 60, "b": 40, "": 900}


def test_hand_outs_count_until_a_later_report_includes_them() -> None:
    """Not until the next one: a client may have got its answer just before it."""
    nodes = placement(report("a", 9_990))
    assert ask(nodes, 10) == {"a": 10}
    nodes.update(view_of(report("a", 9_990, number=2), now=NOW + 1), (), NOW + 1)
    assert ask(nodes, 1) == {"": 1}
    nodes.update(view_of(report("a", 9_990, number=3), now=NOW + 2), (), NOW + 2)
    assert ask(nodes, 1) == {"a": 1}


def test_the_same_report_again_takes_nothing_back() -> None:
    """Updates come whenever anything changed anywhere."""
    nodes = placement(report("a", 9_990))
    ask(nodes, 10)
    for later in range(1, 5):
        nodes.update(view_of(report("a", 9_990), now=NOW + later), (), NOW + later)
    assert ask(nodes, 1) == {"": 1}


def test_an_empty_node_is_not_sent_more_per_second_than_it_takes() -> None:
    """It has most of the room, and a rate like the others."""
    full = [report(f"full-{index}", 9_000, rate=100) for index in range(10)]
    found = ask(placement(report("empty", 0, capacity=100_000, rate=100), *full), 800, over_s=1.0)
    assert found["empty"] <= 100 * 1.5 + 1
    assert not found[""]


def test_when_all_are_at_their_rate_room_decides() -> None:
    """The nodes refuse who is too many; no answer would help nobody."""
    found = ask(placement(report("a", 0, rate=10), report("b", 5_000, rate=10)), 300)
    assert found["a"] > found["b"] > 60
    assert not found[""]


def test_never_a_node_that_leaves_is_full_or_silent() -> None:
    """Nobody is better than one of them."""
    unready = report("c")
    unready.state = NodeReport.NOT_READY
    nodes = [report("a", leaving=Leaving()), report("b", 10_000), unready]
    assert ask(placement(*nodes), 1) == {"": 1}
    late = placement(report("d"))
    late.update(view_of(report("d")), (), NOW + 5)
    assert ask(late, 1) == {"": 1}
    assert ask(placement(report("e"), plans=(drain_of("e", state=NodeStep.ORDERED),)), 1) == {"": 1}


def test_nodes_whose_turn_to_leave_comes_are_a_last_resort() -> None:
    """A client sent there would be sent away again; better that than nowhere."""
    plan = drain_of("a", "b")
    found = ask(placement(report("a"), report("b"), report("c", rate=9e9), plans=(plan,)), 100)
    assert found == {"c": 100}
    assert not ask(placement(report("a"), report("b"), plans=(plan,)), 10)[""]


def test_nodes_whose_turn_comes_take_what_is_above_the_rate_of_the_others() -> None:
    """The new node has room for all, and would refuse nine of ten: moved twice is better than refused."""
    plan = drain_of("a", "b")
    new = report("new", 0, capacity=100_000, rate=100)
    old = [report(name, 0, capacity=100_000, rate=500) for name in "ab"]
    found = ask(placement(new, *old, plans=(plan,)), 1000, over_s=1.0)
    assert 100 <= found["new"] <= 151
    assert found["new"] + found["a"] + found["b"] == 1000
    assert placement(new, *old, plans=(plan,)).choose("websocket", NOW, Random(1)) == [("new", "ws://new/")]


def test_while_a_version_leaves_the_other_one_is_preferred() -> None:
    """Forwards or backwards: the version of who leaves is the one that is replaced."""
    nodes = [report("a", version="3", leaving=Leaving()), report("b", version="3"), report("c", version="2")]
    assert ask(placement(*nodes), 40) == {"c": 40}
    assert [place.node for place in placement(*nodes).choose("websocket", NOW, Random(1))] == ["c"]


@given(
    st.lists(st.tuples(st.integers(0, 20), st.sampled_from([1.0, 50.0])), min_size=1, max_size=6),
    st.integers(0, 150),
    st.randoms(use_true_random=False),
)
def test_no_node_is_handed_more_than_its_room(
    rooms: list[tuple[int, float]], times: int, rng: Random
) -> None:
    """And everyone gets an answer while there is room anywhere."""
    reports = [
        report(f"n{index}", 1000 - room, capacity=1000, rate=rate) for index, (room, rate) in enumerate(rooms)
    ]
    nodes = placement(*reports)
    found: Counter[str] = Counter()
    for _ in range(times):
        places = nodes.choose("websocket", NOW, rng)
        assert len({place.node for place in places}) == len(places)
        found[places[0].node if places else ""] += 1
    assert all(found[f"n{index}"] <= room for index, (room, _) in enumerate(rooms))
    assert times - found[""] == min(times, sum(room for room, _ in rooms))
