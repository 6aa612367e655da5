"""Hypothesis strategies for the protocol's messages, shared by the tests of the codecs and the plain form."""

import json
from typing import Any

from hypothesis import strategies as st
from msgspec import Raw

from node.protocol import messages as m

# No lone surrogates: they are not text, and no encoding here carries them.
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
names = st.text("abcz:#$.-é世", min_size=1, max_size=8)
uint32 = st.integers(0, 2**32 - 1)
offsets = st.integers(0, 2**53 - 1)

_json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=5,
).filter(lambda value: value is not None)
payloads = st.one_of(
    st.builds(lambda value: Raw(json.dumps(value).encode()), _json_values),
    st.builds(lambda value: Raw(json.dumps(value, ensure_ascii=False).encode()), _json_values),
)
data = st.just(m.NO_DATA) | payloads
binary = st.builds(Raw, st.binary(max_size=20))
tags = st.dictionaries(text, text, max_size=2)

infos = st.builds(m.ClientInfo, user=text, client=text, conn_info=data, chan_info=data)
publications = st.builds(m.Publication, data=data, info=st.none() | infos, offset=offsets, tags=tags)
positions = st.builds(m.StreamPosition, offset=offsets, epoch=text)

subscribe_requests = st.builds(
    m.SubscribeRequest,
    channel=text,
    token=text,
    recover=st.booleans(),
    epoch=text,
    offset=offsets,
    data=data,
    positioned=st.booleans(),
    recoverable=st.booleans(),
    join_leave=st.booleans(),
    delta=text,
    flag=st.integers(-(2**63), 2**63 - 1),
)
connect_requests = st.builds(
    m.ConnectRequest,
    token=text,
    data=data,
    subs=st.dictionaries(names, subscribe_requests, max_size=2),
    name=text,
    version=text,
    headers=tags,
)
history_requests = st.builds(
    m.HistoryRequest,
    channel=text,
    limit=st.integers(-(2**31), 2**31 - 1),
    since=st.none() | positions,
    reverse=st.booleans(),
)
_requests: dict[str, st.SearchStrategy[Any]] = {
    "connect": connect_requests,
    "subscribe": subscribe_requests,
    "unsubscribe": st.builds(m.UnsubscribeRequest, channel=text),
    "publish": st.builds(m.PublishRequest, channel=text, data=data),
    "presence": st.builds(m.PresenceRequest, channel=text),
    "presence_stats": st.builds(m.PresenceStatsRequest, channel=text),
    "history": history_requests,
    "ping": st.builds(m.PingRequest),
    "send": st.builds(m.SendRequest, data=data),
    "rpc": st.builds(m.RPCRequest, data=data, method=text),
    "refresh": st.builds(m.RefreshRequest, token=text),
    "sub_refresh": st.builds(m.SubRefreshRequest, channel=text, token=text),
}


def _one_of_fields(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of([st.fixed_dictionaries({name: strategy}) for name, strategy in fields.items()])


commands = st.builds(
    lambda command_id, request: m.Command(id=command_id, **request),
    uint32,
    st.just({}) | _one_of_fields(_requests),
)

subscribe_results = st.builds(
    m.SubscribeResult,
    expires=st.booleans(),
    ttl=uint32,
    recoverable=st.booleans(),
    epoch=text,
    publications=st.lists(publications, max_size=3).map(tuple),
    recovered=st.booleans(),
    offset=offsets,
    positioned=st.booleans(),
    data=data,
    was_recovering=st.booleans(),
)
connect_results = st.builds(
    m.ConnectResult,
    client=text,
    version=text,
    expires=st.booleans(),
    ttl=uint32,
    data=data,
    subs=st.dictionaries(names, subscribe_results, max_size=2),
    ping=uint32,
    pong=st.booleans(),
    session=text,
    node=text,
)
history_results = st.builds(
    m.HistoryResult,
    publications=st.lists(publications, max_size=3).map(tuple),
    epoch=text,
    offset=offsets,
)
_pushes: dict[str, st.SearchStrategy[Any]] = {
    "pub": publications,
    "unsubscribe": st.builds(m.Unsubscribe, code=uint32, reason=text),
    "connect": connect_results,
    "disconnect": st.builds(m.Disconnect, code=uint32, reason=text),
}
pushes = st.builds(lambda channel, content: m.Push(channel=channel, **content), text, _one_of_fields(_pushes))
_results: dict[str, st.SearchStrategy[Any]] = {
    "error": st.builds(m.Error, code=uint32, message=text, temporary=st.booleans()),
    "push": pushes,
    "connect": connect_results,
    "subscribe": subscribe_results,
    "unsubscribe": st.just(m.UnsubscribeResult()),
    "publish": st.just(m.PublishResult()),
    "history": history_results,
    "refresh": st.builds(m.RefreshResult, client=text, version=text, expires=st.booleans(), ttl=uint32),
    "sub_refresh": st.builds(m.SubRefreshResult, expires=st.booleans(), ttl=uint32),
}
replies = st.builds(
    lambda reply_id, result: m.Reply(id=reply_id, **result), uint32, st.just({}) | _one_of_fields(_results)
)
