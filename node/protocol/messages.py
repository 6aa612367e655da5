"""The client protocol's messages, one struct each, the same for JSON and Protobuf.

Field names and meanings are those of protos/client.proto. A payload (`data`, `conn_info`, `chan_info`)
is `msgspec.Raw`: bytes that a JSON frame embeds as they are and a Protobuf frame carries as they are.
Absent and zero are the same thing, as in proto3. In JSON zero values are left out; the few fields that
must appear although they are zero say so with a default factory, which msgspec always writes.
Ranges of integers are the contract's and are checked when JSON is decoded.
"""

from typing import Annotated

from msgspec import Meta, Raw, Struct, field

NO_DATA = Raw(b"")

Uint32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
# msgspec's bounds end at 2**63 - 1; offsets are kept below 2**53 anyway, for SDKs' sake.
Uint64 = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Int32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class Message(Struct, frozen=True, omit_defaults=True):
    """A message of the contract, or a part of one."""


class ClientInfo(Message, frozen=True, gc=False):
    """Who published, or who is present."""

    # Written in JSON even when empty.
    user: str = field(default_factory=str)
    client: str = field(default_factory=str)
    conn_info: Raw = NO_DATA
    chan_info: Raw = NO_DATA


class Publication(Message, frozen=True):
    """One message of a channel as clients see it; `offset` is 0 where the channel keeps no history."""

    data: Raw = NO_DATA
    info: ClientInfo | None = None
    offset: Uint64 = 0
    tags: dict[str, str] = field(default_factory=dict)


# --- what clients send ---------------------------------------------------------------------------


class StreamPosition(Message, frozen=True):
    """A place in a channel's history: everything up to and including `offset` is known."""

    offset: Uint64 = 0
    epoch: str = ""


class FilterNode(Message, frozen=True):
    """The root of a filter by tags; none is served, but one that is asked for must not be ignored."""

    op: str = ""


class SubscribeRequest(Message, frozen=True):
    """Ask for a channel, with `recover` from (epoch, offset)."""

    channel: str = ""
    token: str = ""
    recover: bool = False
    epoch: str = ""
    offset: Uint64 = 0
    data: Raw = NO_DATA
    positioned: bool = False
    recoverable: bool = False
    join_leave: bool = False
    delta: str = ""
    tf: FilterNode | None = None
    flag: Int64 = 0
    type: Int32 = 0


class ConnectRequest(Message, frozen=True):
    """The first command of a session."""

    token: str = ""
    data: Raw = NO_DATA
    subs: dict[str, SubscribeRequest] = field(default_factory=dict)
    name: str = ""
    version: str = ""
    headers: dict[str, str] = field(default_factory=dict)


class UnsubscribeRequest(Message, frozen=True):
    """Leave a channel."""

    channel: str = ""


class PublishRequest(Message, frozen=True):
    """Publish into a channel from a client."""

    channel: str = ""
    data: Raw = NO_DATA


class PresenceRequest(Message, frozen=True):
    """Ask who is in a channel."""

    channel: str = ""


class PresenceStatsRequest(Message, frozen=True):
    """Ask how many are in a channel."""

    channel: str = ""


class HistoryRequest(Message, frozen=True):
    """Read a channel's history; `limit` 0 asks for the position only, -1 for all."""

    channel: str = ""
    limit: Int32 = 0
    since: StreamPosition | None = None
    reverse: bool = False


class PingRequest(Message, frozen=True):
    """Legacy; never dispatched."""


class SendRequest(Message, frozen=True):
    """A message to the backend without a reply."""

    data: Raw = NO_DATA


class RPCRequest(Message, frozen=True):
    """A call to the backend."""

    data: Raw = NO_DATA
    method: str = ""


class RefreshRequest(Message, frozen=True):
    """A new connection token before the old one expires."""

    token: str = ""


class SubRefreshRequest(Message, frozen=True):
    """A new subscription token before the old one expires."""

    channel: str = ""
    token: str = ""


class Command(Message, frozen=True):
    """One frame entry from a client; without an id and a request it is a pong."""

    id: Uint32 = 0
    connect: ConnectRequest | None = None
    subscribe: SubscribeRequest | None = None
    unsubscribe: UnsubscribeRequest | None = None
    publish: PublishRequest | None = None
    presence: PresenceRequest | None = None
    presence_stats: PresenceStatsRequest | None = None
    history: HistoryRequest | None = None
    ping: PingRequest | None = None
    send: SendRequest | None = None
    rpc: RPCRequest | None = None
    refresh: RefreshRequest | None = None
    sub_refresh: SubRefreshRequest | None = None


# --- what clients get ----------------------------------------------------------------------------


class Error(Message, frozen=True):
    """Why a command failed."""

    code: Uint32 = 0
    message: str = ""
    temporary: bool = False


class SubscribeResult(Message, frozen=True):
    """A granted subscription with its position and, after recovery, what was missed."""

    expires: bool = False
    ttl: Uint32 = 0
    recoverable: bool = False
    epoch: str = ""
    publications: tuple[Publication, ...] = ()
    recovered: bool = False
    offset: Uint64 = 0
    positioned: bool = False
    data: Raw = NO_DATA
    was_recovering: bool = False


class ConnectResult(Message, frozen=True):
    """The session's identity, its pings and its server-side subscriptions."""

    client: str = ""
    version: str = ""
    expires: bool = False
    ttl: Uint32 = 0
    data: Raw = NO_DATA
    subs: dict[str, SubscribeResult] = field(default_factory=dict)
    ping: Uint32 = 0
    pong: bool = False
    session: str = ""
    node: str = ""


class UnsubscribeResult(Message, frozen=True):
    """Nothing: the channel was left."""


class PublishResult(Message, frozen=True):
    """Nothing: the publication was accepted."""


class HistoryResult(Message, frozen=True):
    """A page of history; `offset` and `epoch` are the channel's top."""

    # Written in JSON even when empty.
    publications: tuple[Publication, ...] = field(default_factory=lambda: ())
    epoch: str = field(default_factory=str)
    offset: Uint64 = field(default_factory=int)


class RefreshResult(Message, frozen=True):
    """The connection lives on."""

    client: str = ""
    version: str = ""
    expires: bool = False
    ttl: Uint32 = 0


class SubRefreshResult(Message, frozen=True):
    """The subscription lives on."""

    expires: bool = False
    ttl: Uint32 = 0


class Unsubscribe(Message, frozen=True):
    """The server ended a subscription."""

    code: Uint32 = 0
    reason: str = ""


class Disconnect(Message, frozen=True):
    """The server is about to close the connection (transports without a close frame)."""

    code: Uint32 = 0
    reason: str = ""


class Push(Message, frozen=True):
    """Something the client did not ask for now; exactly one of the fields after `channel` is set.

    `connect` is the first push of a unidirectional transport.
    """

    channel: str = ""
    pub: Publication | None = None
    unsubscribe: Unsubscribe | None = None
    connect: ConnectResult | None = None
    disconnect: Disconnect | None = None


class Reply(Message, frozen=True):
    """One frame entry to a client; an empty reply is a ping."""

    id: Uint32 = 0
    error: Error | None = None
    push: Push | None = None
    connect: ConnectResult | None = None
    subscribe: SubscribeResult | None = None
    unsubscribe: UnsubscribeResult | None = None
    publish: PublishResult | None = None
    history: HistoryResult | None = None
    refresh: RefreshResult | None = None
    sub_refresh: SubRefreshResult | None = None


PING = Reply()
