"""The server API in JSON: bodies in, HTTP status and body out, whoever carries them.

Source: the server API reference, section 1. A body that cannot be decoded is a 400, an unknown method a 404;
whatever was called is answered 200 with `result` or `error`, unless the caller wants errors as statuses.
"""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from msgspec import DecodeError, Raw, structs
from msgspec.json import Decoder, Encoder

from node.api.messages import (
    NOT_FOUND,
    BatchRequest,
    BroadcastRequest,
    ChannelRequest,
    Error,
    HistoryRequest,
    LegacyRequest,
    NoFields,
    PublishRequest,
    RpcRequest,
)
from node.api.methods import Api, run_each
from node.broker.interface import BrokerError
from node.protocol.errors import CommandError, UnencodablePayload
from node.protocol.json_codec import embeddable_publication
from node.protocol.messages import HistoryResult
from node.protocol.reasons import BAD_REQUEST

_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"
_NO_PARAMS = Raw(b"{}")
_NULL = Raw(b"null")
# The status of each error code for callers that ask for it; others are 500.
_STATUS = {102: 404, 104: 404, 107: 400, 108: 400, 112: 416, 113: 409}

_ENCODER = Encoder()
_OBJECT = Decoder(dict[str, Raw])
_BATCH = Decoder(BatchRequest)
_LEGACY = Decoder(LegacyRequest)


class Answer(NamedTuple):
    """What the caller gets."""

    status: int
    body: bytes
    content_type: str = _JSON


class _Undecodable(Exception):
    """A request is not JSON of the right shape."""


class _Method(NamedTuple):
    decoder: Decoder[Any]
    call: Callable[[Any], Awaitable[Any]]


class _Call(NamedTuple):
    """A decoded command; `error` instead where it cannot be called."""

    method: str
    request: Any = None
    error: Error | None = None


class JsonApi:
    """The API's methods as JSON.

    Args:
        api: does the work.

    Attributes:
        methods: the names that `call` knows.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._methods = {
            "publish": _Method(Decoder(PublishRequest), api.publish),
            "broadcast": _Method(Decoder(BroadcastRequest), api.broadcast),
            "history": _Method(Decoder(HistoryRequest), api.history),
            "history_remove": _Method(Decoder(ChannelRequest), api.history_remove),
            "info": _Method(Decoder(NoFields), api.info),
            "rpc": _Method(Decoder(RpcRequest), api.rpc),
            "presence": _Method(Decoder(ChannelRequest), api.channel_not_available),
            "presence_stats": _Method(Decoder(ChannelRequest), api.channel_not_available),
            "subscribe": _Method(Decoder(ChannelRequest), api.channel_not_available),
            "unsubscribe": _Method(Decoder(NoFields), api.not_available),
            "disconnect": _Method(Decoder(NoFields), api.not_available),
            "refresh": _Method(Decoder(NoFields), api.not_available),
            "channels": _Method(Decoder(NoFields), api.not_available),
        }
        self.methods = frozenset({*self._methods, "batch"})

    async def call(self, method: str, body: bytes, *, transport_errors: bool = False) -> Answer:
        """Call one method.

        Args:
            method: its name; one that does not exist is a 404.
            body: the request, a JSON object.
            transport_errors: answer errors with an HTTP status of their own.

        Cancellation: what was being published may or may not be.
        """
        known = self._methods.get(method)
        if known is None and method != "batch":
            return Answer(404, b"no such method\n", _TEXT)
        try:
            _check_utf8(body)
            if known is None:
                return Answer(200, await self._batch(body))
            request = _decode(known.decoder, body)
        except _Undecodable as error:
            return self._bad_request(method, error)
        result = await self._outcome(_Call(method, request))
        if not isinstance(result, Error):
            return Answer(200, b'{"result":' + result + b"}")
        encoded = _ENCODER.encode(result)
        if transport_errors:
            return Answer(_STATUS.get(result.code, 500), encoded)
        return Answer(200, b'{"error":' + encoded + b"}")

    async def call_legacy(self, body: bytes) -> Answer:
        """Commands as `{"method": ..., "params": ...}`, one per line, each answered by one line.

        Args:
            body: the lines.
        """
        try:
            calls = self._legacy_calls(body)
        except _Undecodable as error:
            return self._bad_request("legacy", error)
        replies = []
        for call in calls:
            result = await self._outcome(call)
            key, encoded = (
                ("error", _ENCODER.encode(result)) if isinstance(result, Error) else ("result", result)
            )
            replies.append(b'{"%s":%s}' % (key.encode(), encoded))
        return Answer(200, b"\n".join(replies))

    def _legacy_calls(self, body: bytes) -> list[_Call]:
        _check_utf8(body)
        commands = [_decode(_LEGACY, line) for line in body.split(b"\n") if line.strip()]
        if not commands:
            raise _Undecodable("the body is empty")
        return [self._command({command.method: command.params or _NO_PARAMS}) for command in commands]

    def _bad_request(self, method: str, error: _Undecodable) -> Answer:
        self._api.undecodable(method, str(error))
        return Answer(400, b"Bad Request\n", _TEXT)

    async def _batch(self, body: bytes) -> bytes:
        batch: BatchRequest = _decode(_BATCH, body)
        calls = [self._command(command) for command in batch.commands]
        replies = [b""] * len(calls)

        async def run(index: int, call: _Call) -> None:
            replies[index] = await self._reply(call)

        if batch.parallel:
            await run_each(calls, run)
        else:
            for index, call in enumerate(calls):
                await run(index, call)
        return b'{"replies":[' + b",".join(replies) + b"]}"

    def _command(self, command: dict[str, Raw] | None) -> _Call:
        """Decode one command of several."""
        names = [
            name for name, request in (command or {}).items() if name in self._methods and request != _NULL
        ]
        if command is None or len(names) > 1:
            return _Call("batch", error=Error(BAD_REQUEST.code, BAD_REQUEST.message))
        if not names:
            return _Call("batch", error=Error(NOT_FOUND.code, NOT_FOUND.message))
        name = names[0]
        return _Call(name, _decode(self._methods[name].decoder, bytes(command[name])))

    async def _reply(self, call: _Call) -> bytes:
        result = await self._outcome(call)
        if isinstance(result, Error):
            return b'{"error":' + _ENCODER.encode(result) + b"}"
        return b'{"%s":%s}' % (call.method.encode(), result)

    async def _outcome(self, call: _Call) -> bytes | Error:
        """The encoded result, or why there is none."""
        if call.error is not None:
            return call.error
        try:
            result = await self._methods[call.method].call(call.request)
            if isinstance(result, HistoryResult):
                result = structs.replace(
                    result, publications=tuple(map(embeddable_publication, result.publications))
                )
        except (CommandError, BrokerError, UnencodablePayload) as failure:
            return self._api.error_of(failure, call.method)
        return _ENCODER.encode(result)


def _check_utf8(body: bytes) -> None:
    # What is published is embedded in text frames as it is, and msgspec does not look into Raw values.
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise _Undecodable(f"not UTF-8 (byte {error.start})") from None


def _decode(decoder: Decoder[Any], body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except (DecodeError, RecursionError) as error:
        if b"null" in body and isinstance(error, DecodeError):
            return _decode_without_nulls(decoder, body)
        # msgspec names fields, types and positions, never values of the fields used here.
        raise _Undecodable(str(error)) from None


def _decode_without_nulls(decoder: Decoder[Any], body: bytes) -> Any:
    """Null stands for an absent field, as in the JSON form of Protobuf; rare, so tried second."""
    try:
        fields = {name: value for name, value in _OBJECT.decode(body).items() if value != _NULL}
        return decoder.decode(_ENCODER.encode(fields))
    except (DecodeError, RecursionError) as error:
        raise _Undecodable(str(error)) from None
