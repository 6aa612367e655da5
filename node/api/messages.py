"""The server API's requests and results, one struct each, whatever carries them.

Names and meanings are the server API reference's, section 3. Zero values are left out of JSON; what must
appear although it is zero has a default factory of its own, which msgspec always writes. A payload is
`msgspec.Raw`: embedded in JSON as it is.
"""

from msgspec import Raw, Struct, field

from node.protocol.messages import NO_DATA, StreamPosition, Uint32, Uint64
from node.protocol.reasons import ReplyError

# The client protocol has another text for 104, and no conflicts.
NOT_FOUND = ReplyError(104, "not found")


class ApiMessage(Struct, frozen=True, omit_defaults=True):
    """A request or a result, or a part of one."""


class Error(ApiMessage, frozen=True):
    """Why a call failed."""

    code: Uint32
    message: str


class PublicationRequest(ApiMessage, frozen=True):
    """What is to be published, wherever; `b64data` wins over `data`."""

    data: Raw = NO_DATA
    b64data: str = ""
    skip_history: bool = False
    tags: dict[str, str] | None = None
    idempotency_key: str = ""
    delta: bool = False
    version: Uint64 = 0
    version_epoch: str = ""


class PublishRequest(PublicationRequest, frozen=True):
    """Publish to one channel."""

    channel: str = ""


class PublishResult(ApiMessage, frozen=True):
    """Where the publication is stored; both absent where the channel keeps no history."""

    offset: Uint64 = 0
    epoch: str = ""


class PublishResponse(ApiMessage, frozen=True):
    """One channel's share of a broadcast: exactly one of the two."""

    error: Error | None = None
    result: PublishResult | None = None


class BroadcastRequest(PublicationRequest, frozen=True):
    """Publish the same to several channels."""

    channels: tuple[str, ...] = ()


class BroadcastResult(ApiMessage, frozen=True):
    """One response per channel, in the request's order."""

    responses: tuple[PublishResponse, ...] = field(default_factory=lambda: ())


class ChannelRequest(ApiMessage, frozen=True):
    """A request whose only field of interest is its channel."""

    channel: str = ""


class HistoryRequest(ApiMessage, frozen=True):
    """Read a channel's history; `limit` 0 asks for the position only, a negative one for all."""

    channel: str = ""
    limit: int = 0
    since: StreamPosition | None = None
    reverse: bool = False


class NoFields(ApiMessage, frozen=True):
    """A request or a result without fields of interest."""


class RpcRequest(ApiMessage, frozen=True):
    """Call a method of an extension."""

    method: str = ""


class NodeResult(ApiMessage, frozen=True):
    """One node."""

    uid: str
    name: str
    version: str = ""
    num_clients: Uint32 = 0
    num_users: Uint32 = 0
    num_channels: Uint32 = 0
    uptime: Uint32 = 0
    num_subs: Uint32 = 0


class InfoResult(ApiMessage, frozen=True):
    """The nodes alive."""

    nodes: tuple[NodeResult, ...] = field(default_factory=lambda: ())


class BatchRequest(ApiMessage, frozen=True):
    """Several commands; each names one method, whose request stays undecoded here."""

    commands: tuple[dict[str, Raw] | None, ...] = ()
    parallel: bool = False


class LegacyRequest(ApiMessage, frozen=True):
    """One line of a `POST /api`."""

    method: str = ""
    params: Raw = NO_DATA
