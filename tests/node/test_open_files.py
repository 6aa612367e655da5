"""How many files a node may have open."""

import resource
import sys

import pytest

from node import open_files


def test_a_node_takes_what_it_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """The soft limit, often 1,024, is raised to the hard one; where there is none, nothing is done."""
    limits = (1024, 20_000)
    raised: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: raised.append(wanted))
    open_files.raise_limit()
    assert (raised, open_files.limit()) == ([(20_000, 20_000)], 1024)
    limits = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    open_files.raise_limit()
    assert (len(raised), open_files.limit()) == (1, sys.maxsize)
