"""The generator: a seed gives a schedule, the same today and tomorrow, and the schedule keeps its shape."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.generator import ClientPlan, FaultKind, Workload, clients, faults, moves, publications

MENU = (
    FaultKind("node-kill", ("node-1", "node-2", "node-3"), 2.0),
    FaultKind("nats-restart", holds_s=(2.0, 4.0)),
)


def test_a_seed_gives_the_same_schedule_for_ever() -> None:
    """A seed of a run that failed last month repeats it: these lines change only on purpose."""
    workload = Workload(seed=7, transports=("websocket", "sse"))
    first = [
        f"{found.at_s:.3f} {found.id} {found.channel} {found.node} {found.payload_bytes}"
        for found in itertools.islice(publications(workload), 4)
    ]
    assert first == [
        "0.005 publisher-2-0 history:7 1 437",
        "0.009 publisher-0-0 history:0 2 184",
        "0.010 publisher-1-0 history:4 2 154",
        "0.014 publisher-3-0 history:10 1 166",
    ]
    assert [(f"{move.at_s:.3f}", *msgspec.structs.astuple(move)[1:]) for move in moves(workload)][:2] == [
        ("0.271", "client-262", "sse", 2),
        ("0.321", "client-244", "sse", 0),
    ]
    assert [
        f"{plan.inject_s:.2f} {plan.heal_s:.2f} {plan.name} {plan.target}" for plan in faults(workload, MENU)
    ][:3] == ["3.00 6.63 nats-restart ", "11.79 14.67 nats-restart ", "30.03 36.38 node-kill node-1"]
    assert clients(workload)[1] == ClientPlan("client-1", "sse", 1, ("history:1",), "healthy")


@given(st.integers())
def test_two_runs_of_a_seed_are_the_same(seed: int) -> None:
    """Nothing but the seed decides."""
    workload = Workload(seed=seed, duration_s=2.0, clients=20)
    assert clients(workload) == clients(workload)
    assert list(publications(workload)) == list(publications(workload))
    assert list(moves(workload)) == list(moves(workload))
    assert faults(workload, MENU) == faults(workload, MENU)


def test_other_seeds_give_other_schedules() -> None:
    """A run of many seeds is not the same run many times."""
    one, two = (list(publications(Workload(seed=seed))) for seed in (1, 2))
    assert [found.at_s for found in one] != [found.at_s for found in two]


def test_parts_do_not_disturb_each_other() -> None:
    """To try fewer clients or other faults on a failing seed leaves the rest of the schedule alone."""
    workload = Workload(seed=7)
    fewer = msgspec.structs.replace(workload, moves_per_s=0.0)
    assert list(publications(workload)) == list(publications(fewer))
    assert clients(workload) == clients(fewer)
    assert list(moves(fewer)) == []
    assert faults(workload, ()) == []


@given(st.integers(0, 100), st.integers(1, 5))
def test_publications_come_by_time_each_publisher_in_order(seed: int, publishers: int) -> None:
    """The workload can walk the schedule once, and ids of a publisher grow with time."""
    workload = Workload(seed=seed, duration_s=3.0, publishers=publishers)
    found = list(publications(workload))
    assert [each.at_s for each in found] == sorted(each.at_s for each in found)
    assert len({each.id for each in found}) == len(found)
    for name in {each.publisher for each in found}:
        numbers = [int(each.id.rpartition("-")[2]) for each in found if each.publisher == name]
        assert numbers == list(range(len(numbers)))


def test_the_rate_is_what_was_asked() -> None:
    """With every publication reaching its channel's clients, the deliveries add up."""
    workload = Workload(seed=1, clients=500, deliveries_per_s=5000.0, duration_s=20.0)
    listening: dict[str, int] = {}
    for plan in clients(workload):
        for channel in plan.channels:
            listening[channel] = listening.get(channel, 0) + 1
    deliveries = sum(listening.get(each.channel, 0) for each in publications(workload))
    assert deliveries / workload.duration_s == pytest.approx(5000.0, rel=0.02)


def test_every_channel_is_listened_to_over_every_transport() -> None:
    """A loss on one transport is not hidden by the way clients are dealt out."""
    workload = Workload(seed=1, clients=250, transports=("a", "b", "c", "d", "e"))
    pairs = {(plan.transport, channel) for plan in clients(workload) for channel in plan.channels}
    assert len(pairs) == 5 * len(workload.channels)


def test_slow_clients_are_named_and_never_moved() -> None:
    """Their role is theirs for the whole run."""
    workload = Workload(seed=1, clients=10, slow_clients=3, moves_per_s=20.0)
    roles = {plan.name: plan.role for plan in clients(workload)}
    assert list(roles.values()) == ["healthy"] * 10 + ["slow"] * 3
    assert {roles[move.client] for move in moves(workload)} == {"healthy"}


@given(st.integers())
def test_faults_are_apart_and_all_are_healed_in_time(seed: int) -> None:
    """What is injected is healed before the run ends, and one fault's effects are not another's."""
    workload = Workload(seed=seed, duration_s=120.0)
    plans = faults(workload, MENU)
    assert plans
    assert all(plan.inject_s < plan.heal_s <= workload.duration_s - 3.0 for plan in plans)
    assert all(second.inject_s - first.heal_s >= 3.0 for first, second in itertools.pairwise(plans))


@pytest.mark.parametrize("wrong", [{"nodes": 0}, {"channels_per_client": 26}, {"transports": ()}])
def test_a_workload_that_cannot_be_is_refused(wrong: dict[str, int]) -> None:
    """Before anything is started, and in words."""
    with pytest.raises(ValueError, match=r"needs a node|there are 25 channels"):
        Workload(seed=1, **wrong)  # type: ignore[arg-type]
