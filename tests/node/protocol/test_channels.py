"""What channel names say by themselves."""

import pytest

from node.protocol.channels import namespace_of


@pytest.mark.parametrize(
    ("channel", "namespace"),
    [
        ("news", ""),
        ("chat:room", "chat"),
        ("chat:room:1", "chat"),
        (":room", ""),
        ("chat:", "chat"),
        ("$chat:room", "chat"),
        ("$room", ""),
        ("", ""),
    ],
)
def test_namespace_is_the_part_before_the_first_boundary(channel: str, namespace: str) -> None:
    """A channel belongs to the namespace its name begins with, private or not."""
    assert namespace_of(channel, ":", "$") == namespace


def test_boundary_is_configurable() -> None:
    """Another boundary is used as it is, and without one there are no namespaces."""
    assert namespace_of("a::b:c", "::") == "a"
    assert namespace_of("a:b", "") == ""
    assert namespace_of("$a:b", ":") == "$a"
