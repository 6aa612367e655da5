"""Counts in words."""

from coordinator.words import clients, counted


def test_one_is_not_many() -> None:
    """What is rounded to one in the text is one for the grammar, too."""
    assert [clients(count) for count in (0, 1, 1.4, 1.6, 2)] == [
        "0 clients",
        "1 client",
        "1 client",
        "2 clients",
        "2 clients",
    ]
    assert counted(1, "node was", "nodes were") == "1 node was"
