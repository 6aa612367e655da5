"""The moments at which a node reports."""

import trio
from trio.testing import MockClock

from node.catalog.reporting import Pace


async def test_reports_come_at_their_interval(autojump_clock: MockClock) -> None:
    """What a report itself takes does not put off the next one."""
    pace = Pace(1.0)
    began_at = trio.current_time()
    await trio.sleep(0.4)
    await pace.next(began_at)
    assert trio.current_time() - began_at == 1.0


async def test_a_report_that_took_too_long_is_followed_at_once(autojump_clock: MockClock) -> None:
    """Nobody is silent for two intervals because one answer was slow."""
    pace = Pace(1.0)
    began_at = trio.current_time()
    await trio.sleep(3)
    await pace.next(began_at)
    assert trio.current_time() - began_at == 3


async def test_a_change_is_reported_at_once(autojump_clock: MockClock) -> None:
    """Also one that came while the report before was under way; each is reported once."""
    pace = Pace(1.0)
    pace.changed()
    await pace.next(0)
    assert trio.current_time() == 0
    await pace.next(0)
    assert trio.current_time() == 1.0
