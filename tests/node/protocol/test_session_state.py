import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.protocol.errors import LocalProtocolError, RemoteProtocolError
from node.protocol.messages import (
    Command,
    ConnectRequest,
    PingRequest,
    RPCRequest,
    SendRequest,
    SubscribeRequest,
    UnsubscribeRequest,
)
from node.protocol.reasons import DISCONNECT_BAD_REQUEST
from node.protocol.session_state import Kind, SessionState, request_of
from tests.node.protocol import strategies

CONNECT = Command(1, connect=ConnectRequest())
SUBSCRIBE = Command(2, subscribe=SubscribeRequest("x"))
SEND = Command(send=SendRequest())
PONG = Command()


def _state(*steps: Command | str) -> SessionState:
    state = SessionState()
    for step in steps:
        if isinstance(step, Command):
            state.receive(step)
        else:
            getattr(state, step)()
    return state


def test_a_session_from_connect_to_close() -> None:
    """The ordinary life of a session is legal, and its properties follow it."""
    state = SessionState()
    assert not state.connected
    assert state.receive(CONNECT) == (Kind.CONNECT, CONNECT.connect)
    assert not state.connected
    state.accepted()
    assert state.connected
    assert state.receive(SUBSCRIBE) == (Kind.SUBSCRIBE, SUBSCRIBE.subscribe)
    state.ping_sent()
    assert state.connected
    assert state.receive(SEND) == (Kind.SEND, SEND.send)
    assert state.receive(PONG) == (Kind.PONG, None)
    assert not state.closed
    state.closed_by_us()
    assert state.closed
    assert not state.connected


@pytest.mark.parametrize(
    ("steps", "command", "named"),
    [
        ((), SUBSCRIBE, "subscribe is not allowed: the session has not been connected"),
        ((), SEND, "send is not allowed"),
        ((), PONG, "pong is not allowed"),
        ((CONNECT,), CONNECT, "connect is not allowed: the session is being connected"),
        ((CONNECT,), SUBSCRIBE, "subscribe is not allowed"),
        ((CONNECT,), PONG, "pong is not allowed"),
        ((CONNECT, "accepted"), CONNECT, "connect is not allowed"),
        ((CONNECT, "accepted"), PONG, "no ping is unanswered"),
        ((CONNECT, "accepted", "ping_sent"), CONNECT, "connect is not allowed"),
        ((CONNECT, "accepted", "ping_sent", "ping_sent", PONG), PONG, "no ping is unanswered"),
        ((CONNECT, "refused"), CONNECT, "was refused"),
        ((CONNECT, "refused"), SUBSCRIBE, "was refused"),
        ((CONNECT, "refused"), PONG, "was refused"),
        ((CONNECT, "accepted", "closed_by_us"), SUBSCRIBE, "is closed"),
        ((CONNECT, "accepted"), Command(3, ping=PingRequest()), "no request that exists|holds no request"),
        ((CONNECT, "accepted"), Command(3), "holds no request"),
    ],
)
def test_what_is_not_legal_is_a_bad_request(
    steps: tuple[Command | str, ...], command: Command, named: str
) -> None:
    """A command at the wrong time closes the client with 3501, and the state is what it was."""
    state = _state(*steps)
    before = state._state
    with pytest.raises(RemoteProtocolError, match=named) as caught:
        state.receive(command)
    assert caught.value.reason is DISCONNECT_BAD_REQUEST
    assert state._state is before


@pytest.mark.parametrize(
    ("steps", "event"),
    [
        ((), "accepted"),
        ((), "refused"),
        ((), "ping_sent"),
        ((CONNECT,), "ping_sent"),
        ((CONNECT, "accepted"), "accepted"),
        ((CONNECT, "accepted"), "refused"),
        ((CONNECT, "refused"), "accepted"),
        ((CONNECT, "refused"), "ping_sent"),
        (("closed_by_us",), "accepted"),
        (("closed_by_us",), "ping_sent"),
    ],
)
def test_our_own_mistakes_are_bugs(steps: tuple[Command | str, ...], event: str) -> None:
    """What this program may not do is an error of its own kind, and changes nothing."""
    state = _state(*steps)
    before = state._state
    with pytest.raises(LocalProtocolError):
        getattr(state, event)()
    assert state._state is before


@pytest.mark.parametrize(
    "steps",
    [
        (),
        (CONNECT,),
        (CONNECT, "accepted"),
        (CONNECT, "accepted", "ping_sent"),
        (CONNECT, "refused"),
        ("closed_by_us",),
    ],
)
def test_a_session_may_end_at_any_time(steps: tuple[Command | str, ...]) -> None:
    """Closing is legal in every state, also twice."""
    state = _state(*steps)
    state.closed_by_us()
    assert state.closed


@given(strategies.commands.filter(lambda command: command.send is None))
def test_without_an_id_everything_is_a_pong(command: Command) -> None:
    """A command without an id and without `send` is a pong, whatever else it contains."""
    pong = Command(0, command.connect, command.subscribe, publish=command.publish, ping=command.ping)
    assert request_of(pong) == (Kind.PONG, None)


@given(strategies.commands, st.integers(1, 2**32 - 1))
def test_every_request_is_found(command: Command, command_id: int) -> None:
    """A command with an id and one request is that request; `ping` is not one."""
    present = [
        (name, getattr(command, name))
        for name in Command.__struct_fields__
        if name != "id" and getattr(command, name)
    ]
    with_id = Command(command_id, **dict(present))
    if not present or command.ping is not None:
        with pytest.raises(RemoteProtocolError):
            request_of(with_id)
    else:
        assert [request_of(with_id)] == present


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (
            Command(1, connect=ConnectRequest(), ping=PingRequest(), subscribe=SubscribeRequest()),
            Kind.CONNECT,
        ),
        (Command(1, subscribe=SubscribeRequest(), unsubscribe=UnsubscribeRequest()), Kind.SUBSCRIBE),
        (Command(1, send=SendRequest(), rpc=RPCRequest()), Kind.RPC),
        (Command(0, send=SendRequest(), subscribe=SubscribeRequest()), Kind.SEND),
    ],
)
def test_of_several_requests_the_first_in_order_counts(command: Command, kind: Kind) -> None:
    """A client's bug has one outcome: the order of dispatch, and without an id only `send`."""
    assert request_of(command)[0] is kind


def test_ping_comes_before_what_could_be_served() -> None:
    """`ping` stands second in the order and is refused, also beside another request."""
    with pytest.raises(RemoteProtocolError):
        request_of(Command(1, ping=PingRequest(), subscribe=SubscribeRequest()))
