"""A client in another language, @grpc/grpc-js: it has the contract's file, and nothing else of ours."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.cluster import NodeProcess
from tests.integration.grpc.clients import Caller
from tests.integration.javascript import NEEDS_NODE, Failed, Program
from tests.integration.sdk_contract import token

pytestmark = NEEDS_NODE


@pytest.fixture
def client(node: NodeProcess) -> Iterator[Program]:
    """A client of a gRPC node."""
    with Program("grpc.mjs", node.grpc) as client:
        yield client


def reply(client: Program) -> Any:
    """The next reply or push; on a busy machine pings may come before it."""
    while not (message := client.expect("reply")["message"]):
        pass
    return message


def text(publication: dict[str, Any]) -> str:
    """The payload; JSON has bytes as Node prints buffers."""
    data = publication["data"]
    return bytes(data["data"]).decode() if isinstance(data, dict) else base64.b64decode(data).decode()


def test_the_bidirectional_stream_speaks_the_client_protocol(
    client: Program, there: Caller, channel: str
) -> None:
    """Connect, subscribe, recover, publish, answer pings, end well: with what is published elsewhere."""
    client.do("connect", token=token("ann"))
    connected = reply(client)["connect"]
    assert connected["ping"] == 2
    client.do("send", message={"id": 2, "subscribe": {"channel": channel}})
    at = reply(client)["subscribe"]
    there.publish(channel, b'{"n":1}')
    push = reply(client)["push"]
    assert (push["channel"], text(push["pub"])) == (channel, '{"n":1}')
    client.do("send", message={"id": 3, "unsubscribe": {"channel": channel}})
    assert "unsubscribe" in reply(client)
    there.publish(channel, b"2")
    again = {"channel": channel, "recover": True, "epoch": at["epoch"], "offset": push["pub"]["offset"]}
    client.do("send", message={"id": 4, "subscribe": again})
    recovered = reply(client)["subscribe"]
    assert recovered["recovered"]
    assert [text(publication) for publication in recovered["publications"]] == ["2"]
    # Two pings: whoever does not answer the first one does not see the second.
    for _ in range(2):
        client.expect("reply", message={})
    client.do("finish")
    client.expect("end")


def test_streams_and_calls_work_from_another_language(client: Program, there: Caller, channel: str) -> None:
    """Events with their positions; a summary; a failure with its code."""
    client.do("subscribe", channels=[{"channel": channel}])
    (subscribed,) = client.expect("events")["message"]["events"]
    assert subscribed["subscribed"]["position"]["epoch"]
    client.do("publish", channel=channel, data="1")
    (event,) = client.expect("events")["message"]["events"]
    assert text(event["publication"]) == "1"
    messages = [{"channel": channel, "data": "2"}, {"channel": "closed:x", "data": "3"}]
    summary = client.do("publish_stream", messages=messages)
    assert (summary["received"], summary["accepted"], summary["failures"][0]["code"]) == (2, 1, 103)
    with pytest.raises(Failed) as refused:
        client.do("publish", channel="closed:x", data="1")
    assert refused.value.code == 7  # PERMISSION_DENIED


def test_a_refusal_has_its_reason(client: Program) -> None:
    """A status that any language knows, and words; no time to wait where waiting would not help."""
    for channels, code, words in (([{"channel": "nowhere:x"}], 5, "nowhere:x"), ([], 3, "at least one")):
        client.do("subscribe", channels=channels)
        ended = client.expect("ended")
        assert (ended["code"], ended["hint"]) == (code, 0)
        assert words in ended["details"]
