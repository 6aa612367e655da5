"""What clients may do in a channel."""

from collections.abc import Callable
from typing import Any

import pytest

from node.access.channels import ChannelRules, ResolvedChannel
from node.access.permissions import check_history, check_publish, check_subscribe, grants
from node.config.options import ChannelOptions, ChannelsOptions, ClientOptions, Config, Duration
from node.protocol.errors import CommandError
from node.protocol.messages import SubscribeRequest

SECURE = Config()
INSECURE = Config(client=ClientOptions(insecure=True))


def channel(name: str = "news", **options: Any) -> ResolvedChannel:
    return ChannelRules(ChannelsOptions(without_namespace=ChannelOptions(**options))).resolve(name)


def permitted(check: Callable[..., None], *arguments: Any, **keywords: Any) -> bool:
    try:
        check(*arguments, **keywords)
    except CommandError as error:
        assert error.error.code == 103  # noqa: PT017 - both outcomes are good
        return False
    return True


@pytest.mark.parametrize(
    ("user", "name", "options", "secure", "insecure"),
    [
        ("ann", "news", {}, False, True),
        ("ann", "news", {"allow_subscribe_for_client": True}, True, True),
        ("", "news", {"allow_subscribe_for_client": True}, False, True),
        ("", "news", {"allow_subscribe_for_anonymous": True}, False, True),
        ("", "news", {"allow_subscribe_for_client": True, "allow_subscribe_for_anonymous": True}, True, True),
        ("ann", "$news", {"allow_subscribe_for_client": True}, False, False),
        ("ann", "dm#ann", {"allow_user_limited_channels": True}, True, True),
        ("bob", "dm#ann", {"allow_user_limited_channels": True}, False, True),
        ("bob", "dm#ann,bob", {"allow_user_limited_channels": True}, True, True),
        (
            "bob",
            "dm#ann",
            {"allow_user_limited_channels": True, "allow_subscribe_for_client": True},
            False,
            True,
        ),
        (
            "",
            "dm#",
            {"allow_user_limited_channels": True, "allow_subscribe_for_anonymous": True},
            False,
            True,
        ),
        ("bob", "dm#ann", {"allow_subscribe_for_client": True}, True, True),
    ],
)
def test_subscribing(user: str, name: str, options: dict[str, bool], secure: bool, insecure: bool) -> None:
    """Private, then named, then the namespace's switch, then the insecure mode: in this order."""
    resolved = channel(name, **options)
    assert permitted(check_subscribe, user, resolved, "", SECURE) is secure
    assert permitted(check_subscribe, user, resolved, "", INSECURE) is insecure


def test_a_subscription_token_is_refused() -> None:
    """None can be checked yet, and one that cannot be checked opens nothing."""
    for name in ("$news", "news"):
        resolved = channel(name, allow_subscribe_for_client=True)
        assert not permitted(check_subscribe, "ann", resolved, "token", INSECURE)


@pytest.mark.parametrize(("check", "verb"), [(check_publish, "publish"), (check_history, "history")])
@pytest.mark.parametrize(
    ("user", "subscribed", "options", "secure"),
    [
        ("ann", True, [], False),
        ("ann", False, ["client"], True),
        ("ann", False, ["subscriber"], False),
        ("ann", True, ["subscriber"], True),
        ("", False, ["client"], False),
        ("", True, ["subscriber"], False),
        ("", True, ["anonymous"], False),
        ("", False, ["client", "anonymous"], True),
        ("", True, ["subscriber", "anonymous"], True),
        ("", False, ["subscriber", "anonymous"], False),
    ],
)
def test_publishing_and_reading_history(
    check: Callable[..., None], verb: str, user: str, subscribed: bool, options: list[str], secure: bool
) -> None:
    """Any client, or subscribers only; anonymous ones only where that is said too."""
    resolved = channel(**{f"allow_{verb}_for_{name}": True for name in options})
    assert permitted(check, user, resolved, SECURE, subscribed=subscribed) is secure
    assert permitted(check, user, resolved, INSECURE, subscribed=subscribed)


POSITIONED = SubscribeRequest(positioned=True)
RECOVERABLE = SubscribeRequest(recoverable=True)
HISTORY = {"history_size": 1, "history_ttl": Duration(1)}


@pytest.mark.parametrize(
    ("options", "request_", "config", "granted"),
    [
        ({}, SubscribeRequest(), SECURE, (False, False)),
        ({"force_recovery": True}, SubscribeRequest(), SECURE, (True, True)),
        ({"force_positioning": True}, SubscribeRequest(), SECURE, (True, False)),
        ({"allow_recovery": True}, SubscribeRequest(), SECURE, (False, False)),
        ({"allow_recovery": True}, RECOVERABLE, SECURE, (True, True)),
        ({"allow_recovery": True}, POSITIONED, SECURE, (False, False)),
        ({"allow_positioning": True}, POSITIONED, SECURE, (True, False)),
        ({"allow_positioning": True}, RECOVERABLE, SECURE, (False, False)),
        ({"allow_history_for_subscriber": True}, RECOVERABLE, SECURE, (True, True)),
        ({"allow_history_for_client": True}, POSITIONED, SECURE, (True, False)),
        ({"allow_history_for_client": True}, SubscribeRequest(), SECURE, (False, False)),
        ({}, RECOVERABLE, INSECURE, (True, True)),
        ({}, RECOVERABLE, SECURE, (False, False)),
    ],
)
def test_what_a_subscription_is_granted(
    options: dict[str, Any], request_: SubscribeRequest, config: Config, granted: tuple[bool, bool]
) -> None:
    """Forced, or asked for and allowed; who may read history may ask for both."""
    assert grants("ann", channel(**HISTORY, **options), request_, config) == granted


def test_without_history_nothing_can_be_granted() -> None:
    """A plain channel has no positions, whoever asks."""
    both = SubscribeRequest(positioned=True, recoverable=True)
    assert grants("ann", channel(allow_recovery=True), both, INSECURE) == (False, False)


def test_an_anonymous_subscriber_recovers_only_where_it_may_read_history() -> None:
    """allow_history_for_subscriber speaks of known users."""
    resolved = channel(**HISTORY, allow_history_for_subscriber=True)
    assert grants("", resolved, RECOVERABLE, SECURE) == (False, False)
