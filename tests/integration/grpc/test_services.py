"""Services whose clients were generated elsewhere: Centrifugo's two, health, reflection."""

from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from protos import server_api_pb2 as api
from protos import unistream_pb2
from protos.unistream_pb2 import ConnectRequest
from tests.integration.grpc.clients import Caller, status_of
from tests.patience import PATIENCE_S

SERVICES = {
    "broadcast.edge.v1.Edge",
    "centrifugal.centrifugo.api.CentrifugoApi",
    "centrifugal.centrifugo.unistream.CentrifugoUniStream",
}


def test_a_backend_publishes_and_reads_history(here: Caller, there: Caller, channel: str) -> None:
    """The server API's methods answer with a result or an error, whichever node is called."""
    published = here.api("Publish", api.PublishRequest(channel=channel, data=b'{"n":1}', tags={"k": "v"}))
    assert published.result.offset
    assert not published.HasField("error")
    many = api.BroadcastRequest(channels=[channel, "nowhere:x"], data=b"2")
    first, second = there.api("Broadcast", many).result.responses
    assert first.result.epoch == published.result.epoch
    assert second.error.code == 102
    history = there.api("History", api.HistoryRequest(channel=channel, limit=-1)).result
    assert [publication.data for publication in history.publications] == [b'{"n":1}', b"2"]
    assert dict(history.publications[0].tags) == {"k": "v"}
    assert here.api("HistoryRemove", api.HistoryRemoveRequest(channel=channel)).HasField("result")
    assert not here.api("History", api.HistoryRequest(channel=channel, limit=-1)).result.publications
    assert {node.name for node in here.api("Info", api.InfoRequest()).result.nodes} >= {"node-1", "grpc-1"}
    assert here.api("Channels", api.ChannelsRequest()).error.code == 108


@pytest.mark.parametrize("parallel", [True, False])
def test_a_batch_answers_each_of_its_commands(here: Caller, channel: str, parallel: bool) -> None:
    """One reply per command, in their order; one that names no method or two is wrong by itself."""
    publish = api.PublishRequest(channel=channel, data=b"1")
    commands = [
        api.Command(publish=publish),
        api.Command(),
        api.Command(publish=publish, info=api.InfoRequest()),
        api.Command(rpc=api.RPCRequest(method="x")),
    ]
    replies = here.api("Batch", api.BatchRequest(commands=commands, parallel=parallel)).replies
    assert replies[0].publish.offset
    assert [reply.error.code for reply in replies] == [0, 107, 107, 104]


@pytest.mark.parametrize("key", ["", "wrong"])
def test_the_api_wants_its_key(here: Caller, key: str) -> None:
    """Without it nothing is looked at."""
    with pytest.raises(grpc.RpcError) as failed:
        here.api("Info", api.InfoRequest(), key)
    assert failed.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_unidirectional_client_subscribes_and_recovers(here: Caller, there: Caller, channel: str) -> None:
    """The first push is the connection with its subscriptions, then publications; empty ones are pings."""
    subs = {channel: unistream_pb2.SubscribeRequest(), "closed:x": unistream_pb2.SubscribeRequest()}
    stream = here.consume(ConnectRequest(subs=subs))
    connect = next(stream).connect
    assert list(connect.subs) == [channel]
    here.publish(channel, b"1")
    # On a busy machine a ping may come before.
    push = next(push for push in stream if push != unistream_pb2.Push())
    assert (push.channel, push.pub.data) == (channel, b"1")
    assert next(stream) == unistream_pb2.Push()
    stream.cancel()
    here.publish(channel, b"2")
    at = unistream_pb2.SubscribeRequest(
        recover=True, epoch=connect.subs[channel].epoch, offset=push.pub.offset
    )
    subscribed = next(there.consume(ConnectRequest(subs={channel: at}))).connect.subs[channel]
    assert subscribed.recovered
    assert [publication.data for publication in subscribed.publications] == [b"2"]


def test_a_unidirectional_client_with_a_bad_token_is_told_why(here: Caller) -> None:
    """A disconnect push as the protocol has it, then the status."""
    stream = here.consume(ConnectRequest(token="nonsense"))
    assert next(stream).disconnect.code == 3500
    with pytest.raises(grpc.RpcError) as failed:
        next(stream)
    assert status_of(failed.value) == ("UNAUTHENTICATED", "3500")


@pytest.mark.parametrize("service", ["", *sorted(SERVICES)])
def test_health_is_told_for_the_node_and_each_service(here: Caller, service: str) -> None:
    """As load balancers and orchestrators ask for it."""
    stub: Any = health_pb2_grpc.HealthStub(here.channel)
    request = health_pb2.HealthCheckRequest(service=service)
    assert stub.Check(request, timeout=PATIENCE_S).status == health_pb2.HealthCheckResponse.SERVING


def test_programs_find_the_services_by_reflection(here: Caller) -> None:
    """Names first, then the contract of one, with what it imports: enough to call it without its file."""
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(here.channel)
    Request = reflection_pb2.ServerReflectionRequest  # noqa: N806 - a class
    requests = [Request(list_services=""), Request(file_containing_symbol="broadcast.edge.v1.Edge")]
    listed, files = stub.ServerReflectionInfo(iter(requests), timeout=PATIENCE_S)
    assert {service.name for service in listed.list_services_response.service} > SERVICES
    descriptors = [
        FileDescriptorProto.FromString(data) for data in files.file_descriptor_response.file_descriptor_proto
    ]
    assert "protos/edge.proto" in [descriptor.name for descriptor in descriptors]
