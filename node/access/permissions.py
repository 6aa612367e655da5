"""What a client may do in a channel. Pure; source: the client protocol reference, 4.3, 4.5, 4.6 and 6.

`client.insecure` allows whatever the name alone does not forbid. Everything that is not allowed raises
CommandError with PERMISSION_DENIED; its detail names the option that would allow it.
"""

from typing import NamedTuple

from node.access.channels import ResolvedChannel
from node.config.options import Config
from node.protocol.errors import CommandError
from node.protocol.messages import SubscribeRequest
from node.protocol.reasons import PERMISSION_DENIED


class Grants(NamedTuple):
    """What a subscription has, beside publications.

    Attributes:
        positioned: the client is told positions and that they were lost.
        recoverable: the client may come back from a position; implies positioned.
    """

    positioned: bool
    recoverable: bool


def check_subscribe(user: str, channel: ResolvedChannel, token: str, config: Config) -> None:
    """Whether a client may subscribe; the order of the checks is the protocol's.

    Args:
        user: "" for an anonymous one.
        channel: which.
        token: the subscription token, "" for none.
        config: with `client.insecure`.

    Raises:
        CommandError: PERMISSION_DENIED.
    """
    options = channel.options
    if channel.private and not token:
        raise CommandError(PERMISSION_DENIED, "a private channel needs a subscription token")
    if token:
        raise CommandError(PERMISSION_DENIED, "no subscription token is accepted here")
    if channel.users is not None:
        # Being named opens the channel; allow_subscribe_for_client does not open it to the others.
        if user in channel.users:
            return
    elif options.allow_subscribe_for_client and (user or options.allow_subscribe_for_anonymous):
        return
    if not config.client.insecure:
        raise CommandError(PERMISSION_DENIED, _hint("subscribe", user))


def check_publish(user: str, channel: ResolvedChannel, config: Config, *, subscribed: bool) -> None:
    """Whether a client may publish.

    Args:
        user: "" for an anonymous one.
        channel: which.
        config: with `client.insecure`.
        subscribed: whether the client is, now.

    Raises:
        CommandError: PERMISSION_DENIED.
    """
    options = channel.options
    if user or options.allow_publish_for_anonymous:
        if options.allow_publish_for_client:
            return
        if options.allow_publish_for_subscriber and subscribed:
            return
    if not config.client.insecure:
        raise CommandError(PERMISSION_DENIED, _hint("publish", user))


def check_history(user: str, channel: ResolvedChannel, config: Config, *, subscribed: bool) -> None:
    """Whether a client may read history; whether there is any is another question (error 108).

    Args:
        user: "" for an anonymous one.
        channel: which.
        config: with `client.insecure`.
        subscribed: whether the client is, now.

    Raises:
        CommandError: PERMISSION_DENIED.
    """
    if not _may_read_history(user, channel, config, subscribed=subscribed):
        raise CommandError(PERMISSION_DENIED, _hint("history", user))


def grants(user: str, channel: ResolvedChannel, request: SubscribeRequest, config: Config) -> Grants:
    """What a subscription that is allowed gets.

    Args:
        user: "" for an anonymous one.
        channel: which.
        request: what the client asks for.
        config: with `client.insecure`.
    """
    options = channel.options
    if not options.keeps_history:
        return Grants(positioned=False, recoverable=False)
    # The subscription is as good as made: who may read history as a subscriber may recover.
    reads_history = _may_read_history(user, channel, config, subscribed=True)
    recoverable = options.force_recovery or (
        request.recoverable and (options.allow_recovery or reads_history)
    )
    positioned = options.force_positioning or (
        request.positioned and (options.allow_positioning or reads_history)
    )
    return Grants(positioned=positioned or recoverable, recoverable=recoverable)


def _may_read_history(user: str, channel: ResolvedChannel, config: Config, *, subscribed: bool) -> bool:
    options = channel.options
    known = bool(user) or options.allow_history_for_anonymous
    allowed = options.allow_history_for_client or (options.allow_history_for_subscriber and subscribed)
    return (known and allowed) or config.client.insecure


def _hint(verb: str, user: str) -> str:
    who = "" if user else f" and allow_{verb}_for_anonymous"
    return f"needs one of the options allow_{verb}_for_...{who} in the channel's namespace"
