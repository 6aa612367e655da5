"""When others are told that a node is cut off from its broker."""

from node.outage import Outage


def numbers(outage: Outage, seen: list[tuple[float, float]]) -> list[int]:
    """The number after each sight of (seconds without the broker, now), 0 while it is not cut off."""
    said = []
    for disconnected_for_s, now in seen:
        outage.observe(disconnected_for_s, now)
        said.append(outage.number if outage.lasts else 0)
    return said


def test_a_short_break_is_none_and_a_long_one_is() -> None:
    """It is only cut off beyond its limit, and until the connection has lasted as long."""
    outage = Outage(10)
    assert numbers(outage, [(0, 0), (1, 1), (10, 10), (0, 11), (10.1, 30)]) == [0, 0, 0, 0, 1]
    assert numbers(outage, [(0, 40), (0, 49.9), (0, 50), (0, 51)]) == [1, 1, 0, 0]


def test_each_time_has_a_number() -> None:
    """What was said about one time is not meant for the next."""
    outage = Outage(10)
    assert numbers(outage, [(11, 11), (0, 12), (0, 22), (11, 40)]) == [1, 1, 0, 2]


def test_a_connection_that_comes_and_goes_is_one_time() -> None:
    """However often it comes back: only one that lasts ends it."""
    outage = Outage(10)
    seen = [(11.0, 11.0)]
    for turn in range(20):
        seen += [(0, 20 + turn * 10), (0, 29 + turn * 10), (0.5, 29.5 + turn * 10)]
    assert set(numbers(outage, seen)) == {1}
