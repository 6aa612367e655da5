"""The messages of the plain form, one struct each; `plain` says what they mean to a session.

Unknown fields are refused, because a person who mistypes one wants to know. Payloads are `msgspec.Raw`,
as in `messages`.
"""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from node.protocol import messages

# What a client may put into `id` to find the answer again; below 2**53, so that browsers can.
Id = Annotated[int, Meta(ge=-(2**53), le=2**53)] | Annotated[str, Meta(max_length=255)] | None
Channel = Annotated[str, Meta(min_length=1)]


# --- what clients write --------------------------------------------------------------------------


class Subscribe(Struct, tag_field="type", tag="subscribe", forbid_unknown_fields=True):
    """Ask for a channel, from a position if the client has one."""

    channel: Channel
    recover: messages.StreamPosition | None = None
    token: str = ""
    id: Id = None


class Unsubscribe(Struct, tag_field="type", tag="unsubscribe", forbid_unknown_fields=True):
    """Leave a channel."""

    channel: Channel
    id: Id = None


class Publish(Struct, tag_field="type", tag="publish", forbid_unknown_fields=True):
    """Publish into a channel."""

    channel: Channel
    data: Raw
    id: Id = None


class History(Struct, tag_field="type", tag="history", forbid_unknown_fields=True):
    """Read a channel's history; see HistoryRequest."""

    channel: Channel
    # As much as the server gives, if the client does not say.
    limit: messages.Int32 = -1
    since: messages.StreamPosition | None = None
    reverse: bool = False
    id: Id = None


class Ping(Struct, tag_field="type", tag="ping", forbid_unknown_fields=True):
    """See whether the server is there."""

    id: Id = None


class Head(Struct):
    """What can be read of a message that is wrong."""

    type: Any = None
    channel: Any = None
    id: Any = None


TYPES = ("subscribe", "unsubscribe", "publish", "history", "ping")
Inbound = Subscribe | Unsubscribe | Publish | History | Ping


# --- what clients read ---------------------------------------------------------------------------


class Text(Struct, tag_field="type", omit_defaults=True):
    """A field without a default is always written."""


class Connected(Text, tag="connected"):
    """The session stands."""

    client: str


class Subscribed(Text, tag="subscribed"):
    """A channel was joined."""

    channel: str
    epoch: str = ""
    offset: int | UnsetType = UNSET
    # Only where recovery was asked for.
    recovered: bool | UnsetType = UNSET
    id: int | str | None = None


class Publication(Text, tag="publication"):
    """Something was published."""

    channel: str
    data: Raw
    offset: int = 0
    tags: dict[str, str] = field(default_factory=dict)
    info: messages.ClientInfo | None = None


class Unsubscribed(Text, tag="unsubscribed"):
    """A channel was left; code 0: because the client asked."""

    channel: str
    code: int
    reason: str
    id: int | str | None = None


class Published(Text, tag="published"):
    """A publication was accepted."""

    channel: str
    id: int | str | None = None


class HistoryPage(Text, tag="history"):
    """A page of history."""

    channel: str
    epoch: str
    offset: int
    publications: list[messages.Publication]
    id: int | str | None = None


class Error(Text, tag="error"):
    """A message cannot be served; the others are."""

    code: int
    message: str
    channel: str = ""
    id: int | str | None = None


class Disconnect(Text, tag="disconnect"):
    """The connection is about to be closed."""

    code: int
    reason: str
    # Whether it makes sense to come back.
    reconnect: bool


class Pong(Text, tag="pong"):
    """The server is there."""

    id: int | str | None = None
