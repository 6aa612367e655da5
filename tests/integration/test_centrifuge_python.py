"""centrifuge-python, JSON and Protobuf, against two nodes."""

import asyncio
import json
import threading
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

import centrifuge
import pytest

from tests import plain_asyncio
from tests.integration.events import Events, Failed
from tests.integration.sdk_contract import MakeSdk, SdkContract
from tests.patience import PATIENCE_S


class PythonSdk(Events):
    """centrifuge-python on an asyncio loop in a thread of its own; see Sdk.

    Args:
        url: of a node.
        encoding: json or protobuf.
        *tokens: the client's own, then those it gets when it asks for a new one.
    """

    def __init__(self, url: str, encoding: str, *tokens: str) -> None:
        super().__init__()
        self._binary = encoding == "protobuf"
        self._tokens = list(tokens)
        self._loop = plain_asyncio.new_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._client = centrifuge.Client(
            url,
            events=_ClientEvents(self),
            token=self._tokens.pop(0) if tokens else "",
            get_token=self._new_token if tokens else None,
            use_protobuf=self._binary,
            min_reconnect_delay=0.02,
            max_reconnect_delay=0.2,
            # No proxy of the environment between a test and its cluster.
            proxy=None,
        )

    def do(self, command: str, **fields: Any) -> Any:
        """See Sdk."""
        try:
            return self._run(getattr(self, command)(**fields))
        except centrifuge.ReplyError as error:
            raise Failed(error.code, str(error)) from error

    async def connect(self) -> None:
        await self._client.connect()

    async def subscribe(self, channel: str) -> None:
        events = _SubscriptionEvents(self, channel)
        subscription = self._client.new_subscription(
            channel, events, min_resubscribe_delay=0.02, max_resubscribe_delay=0.2
        )
        await subscription.subscribe()

    async def unsubscribe(self, channel: str) -> None:
        subscription = self._client.get_subscription(channel)
        assert subscription is not None
        await subscription.unsubscribe()

    async def publish(self, channel: str, data: Any) -> None:
        await self._client.publish(channel, json.dumps(data).encode() if self._binary else data)

    async def history(
        self, channel: str, limit: int, since: dict[str, Any] | None = None, *, reverse: bool = False
    ) -> dict[str, Any]:
        position = centrifuge.StreamPosition(**since) if since else None
        page = await self._client.history(channel, limit=limit, since=position, reverse=reverse)
        publications = [self.described(publication) for publication in page.publications]
        return {"offset": page.offset, "epoch": page.epoch, "publications": publications}

    async def presence(self) -> None:
        await self._client.presence("room")

    async def presence_stats(self) -> None:
        await self._client.presence_stats("room")

    async def rpc(self) -> None:
        await self._client.rpc("method", b"{}" if self._binary else {})

    def described(self, publication: centrifuge.Publication) -> dict[str, Any]:
        data = json.loads(publication.data) if self._binary else publication.data
        user = publication.info.user if publication.info else None
        return {"data": data, "offset": publication.offset, "user": user, "tags": publication.tags}

    async def _new_token(self) -> str:
        self.tell("token wanted")
        return self._tokens.pop(0)

    def _run(self, action: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(action, self._loop).result(PATIENCE_S)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._leave())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()

    async def _leave(self) -> None:
        await self._client.disconnect()
        # The SDK closes its connection in a task that nobody can wait for otherwise.
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*rest, return_exceptions=True)


class _ClientEvents(centrifuge.ClientEventHandler):
    def __init__(self, sdk: PythonSdk) -> None:
        self._tell = sdk.tell

    async def on_connecting(self, ctx: centrifuge.ConnectingContext) -> None:
        self._tell("connecting", **asdict(ctx))

    async def on_connected(self, ctx: centrifuge.ConnectedContext) -> None:
        self._tell("connected", client=ctx.client)

    async def on_disconnected(self, ctx: centrifuge.DisconnectedContext) -> None:
        self._tell("disconnected", **asdict(ctx))

    async def on_error(self, ctx: centrifuge.ErrorContext) -> None:
        self._tell("error", code=ctx.code)


class _SubscriptionEvents(centrifuge.SubscriptionEventHandler):
    def __init__(self, sdk: PythonSdk, channel: str) -> None:
        self._sdk = sdk
        self._channel = channel

    def _tell(self, event: str, **fields: Any) -> None:
        self._sdk.tell(event, **{"channel": self._channel, **fields})

    async def on_subscribing(self, ctx: centrifuge.SubscribingContext) -> None:
        self._tell("subscribing", **asdict(ctx))

    async def on_subscribed(self, ctx: centrifuge.SubscribedContext) -> None:
        self._tell("subscribed", **asdict(ctx))

    async def on_unsubscribed(self, ctx: centrifuge.UnsubscribedContext) -> None:
        self._tell("unsubscribed", **asdict(ctx))

    async def on_publication(self, ctx: centrifuge.PublicationContext) -> None:
        self._tell("publication", **self._sdk.described(ctx.pub))

    async def on_error(self, ctx: centrifuge.SubscriptionErrorContext) -> None:
        self._tell("refused", code=ctx.code)


class TestCentrifugePython(SdkContract):
    """See SdkContract."""

    @pytest.fixture
    def sdk(self) -> MakeSdk:
        return PythonSdk
