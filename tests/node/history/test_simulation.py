"""Many short lives of a small cluster under faults; see simulation.py."""

import pytest

from node.broker.interface import Page
from node.history import chain, channel, channels, recovery, tail
from node.history.chain import Step
from node.history.recovery import Stretch
from tests.fakes.clients import Violation
from tests.node.history.simulation import Outcome, Simulation

_SEEDS = 40


def _total(outcomes: list[Outcome]) -> Outcome:
    return Outcome(*(sum(getattr(each, name) for each in outcomes) for name in Outcome.__slots__))


def test_nothing_is_lost_doubled_or_reordered_unless_told() -> None:
    """Whatever is dropped, doubled, trimmed, purged, expired, cut off or restarted, no client is lied to."""
    total = _total([Simulation(seed).run() for seed in range(_SEEDS)])

    assert total.recovered > 100
    assert total.not_recovered > 100
    assert total.lost > 20
    assert total.repaired > 100
    assert total.accepted > 1000
    assert total.delivered > 1000


def test_every_recovery_succeeds_while_nothing_is_removed() -> None:
    """Lost copies, cut feeds, lagging replicas and moves between nodes alone never cost a recovery."""
    total = _total([Simulation(seed, gentle=True).run() for seed in range(_SEEDS)])

    assert total.recovered > 300
    assert total.repaired > 100
    assert (total.not_recovered, total.lost) == (0, 0)


def _violated(*, gentle: bool = False) -> bool:
    for seed in range(_SEEDS):
        try:
            Simulation(seed, gentle=gentle).run()
        except Violation:
            return True
    return False


def _next_if_new(head: int, seen: int, offset: int, previous: int) -> Step:
    return Step.DUPLICATE if offset <= seen else Step.NEXT


def _unlinked_is_next(head: int, seen: int, offset: int, previous: int) -> Step:
    step = chain_step_of(head, seen, offset, previous)
    return Step.NEXT if step is Step.UNKNOWN else step


def _believe(page: Page, since: int) -> Stretch:
    return recovery_stretch_of(page._replace(complete=True), since)


chain_step_of = chain.step_of
recovery_stretch_of = recovery.stretch_of


@pytest.mark.parametrize("mutant", [_next_if_new, _unlinked_is_next])
def test_simulation_sees_a_broken_chain(mutant: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain that ignores gaps, delivers doubles, or trusts an unknown predecessor is found out."""
    monkeypatch.setattr(chain, "step_of", mutant)
    assert _violated()


def test_simulation_sees_a_liar(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taking an incomplete page for a proof is found out."""
    monkeypatch.setattr(channel, "stretch_of", _believe)
    assert _violated()


def test_simulation_sees_a_tail_that_forgets_its_base(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answering from a tail that begins too late is found out."""
    since = tail.Tail.since
    monkeypatch.setattr(tail.Tail, "since", lambda self, offset: since(self, max(offset, self.base)))
    assert _violated()


def test_simulation_sees_missing_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without comparing heads, the last copy of a channel can be lost for ever: that is found out."""
    monkeypatch.setattr("node.history.checks.Checks.soon", lambda _checks, _channels: None)
    monkeypatch.setattr("node.history.channels.Channels.feed_restored", _restored_without_comparing)
    monkeypatch.setattr("node.history.checks.Checks._run_periodic", _never)
    assert _violated(gentle=True)


def _restored_without_comparing(self: channels.Channels) -> None:
    self._broken = False
    for each in self._with_history():
        each.verified = self._breaks
        each.changed()


async def _never(self: object) -> None:
    return


def test_same_seed_same_life() -> None:
    """A seed that finds something finds it again."""
    assert Simulation(3).run() == Simulation(3).run()
