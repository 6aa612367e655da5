"""Tests of `chaos.workload.delays`."""

from chaos.workload import delays
from chaos.workload.delays import Delays


def test_the_longest_stays_to_be_seen_and_is_then_forgotten() -> None:
    """A person who looks every few seconds sees the worst of them."""
    seen = Delays()
    seen.sent("a", 1.0)
    seen.sent("b", 2.0)
    seen.delivered("b", 2.5)
    seen.delivered("a", 4.0)
    assert [seen.longest_s() for _ in range(delays._LOOKS)] == [3.0] * delays._LOOKS
    assert seen.longest_s() == 0.0


def test_what_was_sent_long_ago_is_not_kept() -> None:
    """A run of hours needs no more memory than one of minutes."""
    seen = Delays()
    for number in range(delays._KEPT + 1):
        seen.sent(f"{number}", 1.0)
    seen.delivered("0", 9.0)
    assert len(seen._sent) == delays._KEPT
    assert seen.longest_s() == 0.0
