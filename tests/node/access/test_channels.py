"""Channel names and the rules of their namespaces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.access.channels import ChannelRules
from node.config.options import ChannelOptions, ChannelsOptions, Duration, Namespace
from node.protocol.errors import CommandError

RULES = ChannelRules(
    ChannelsOptions(
        without_namespace=ChannelOptions(history_size=1, history_ttl=Duration(5)),
        namespaces=(
            Namespace(name="news", history_meta_ttl=Duration(600)),
            Namespace(name="chat", allow_user_limited_channels=True),
            Namespace(name="num", channel_regex="^[0-9]+$"),
        ),
    )
)


@pytest.mark.parametrize(
    ("channel", "namespace"),
    [
        ("news", ""),
        ("news:", "news"),
        ("news:sport", "news"),
        ("news:sport:football", "news"),
        ("$news:sport", "news"),
        ("$sport", ""),
        ("a b!~", ""),
        ("x" * 255, ""),
        ("num:42", "num"),
    ],
)
def test_a_name_belongs_to_the_namespace_before_the_first_boundary(channel: str, namespace: str) -> None:
    """The private prefix is no part of the namespace's name."""
    resolved = RULES.resolve(channel)
    assert (resolved.name, resolved.namespace, resolved.private) == (channel, namespace, channel[0] == "$")


def test_history_is_had_where_it_is_kept() -> None:
    """Asking for the history of other channels is error 108."""
    RULES.resolve("sport").require_history()
    with pytest.raises(CommandError) as caught:
        RULES.resolve("news:sport").require_history()
    assert caught.value.error.code == 108


@pytest.mark.parametrize(
    ("channel", "code"),
    [
        ("", 107),
        ("x" * 256, 107),
        ("é", 107),
        ("a\nb", 107),
        ("a\x00", 107),
        ("a\x7f", 107),
        ("\ud800", 107),
        ("nope:a", 102),
        ("$nope:a", 102),
        ("num:4a", 107),
        ("num:", 107),
    ],
)
def test_illegal_names_have_their_error(channel: str, code: int) -> None:
    """107 for what can never be a name, 102 for a namespace nobody configured."""
    for _ in range(2):
        with pytest.raises(CommandError) as caught:
            RULES.resolve(channel)
        assert caught.value.error.code == code
        assert channel == "" or channel not in str(caught.value)


@pytest.mark.parametrize(
    ("channel", "users"),
    [
        ("chat:dialog#42,43", {"42", "43"}),
        ("chat:a#b#42", {"42"}),
        ("chat:dialog#", set()),
        ("chat:dialog#42,", {"42"}),
        ("chat:dialog", None),
        ("news:dialog#42", None),
    ],
)
def test_a_name_may_say_who_may_subscribe(channel: str, users: set[str] | None) -> None:
    """Where the namespace has it so; an anonymous user is never named."""
    assert RULES.resolve(channel).users == users


def test_positions_last_as_long_as_the_namespace_or_the_channels_say() -> None:
    """0 stands for the common setting."""
    assert RULES.resolve("news:a").history_meta_ttl_s == 600
    assert RULES.resolve("a").history_meta_ttl_s == 720 * 3600


def test_a_hot_channel_is_resolved_once() -> None:
    """The second time costs a look-up."""
    assert RULES.resolve("hot") is RULES.resolve("hot")


@given(st.text(max_size=300))
def test_any_text_is_resolved_or_refused(channel: str) -> None:
    """No other exception, whatever a client sends."""
    try:
        resolved = RULES.resolve(channel)
    except CommandError as error:
        assert error.error.code in {102, 107}  # noqa: PT017 - both outcomes are good
    else:
        assert resolved.name == channel
