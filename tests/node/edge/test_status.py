"""The tables of statuses: every reason there is has one that fits what its client should do."""

import grpc
import pytest

from node.broker.interface import BrokerUnavailable
from node.edge.status import Code, ending_of, ending_of_failure
from node.protocol import reasons
from node.protocol.errors import CommandError, RemoteProtocolError
from node.protocol.reasons import DisconnectReason, ReplyError

DISCONNECTS = [reason for reason in vars(reasons).values() if isinstance(reason, DisconnectReason)]
ERRORS = [error for error in vars(reasons).values() if isinstance(error, ReplyError)]


@pytest.mark.parametrize("reason", DISCONNECTS, ids=lambda reason: reason.reason)
def test_whoever_may_come_back_is_told_when(reason: DisconnectReason) -> None:
    """The number goes with every status, a time to wait with UNAVAILABLE only, and never without reason."""
    ending = ending_of(reason)
    trailing = dict(ending.trailing_metadata)
    assert trailing["broadcast-code"] == str(reason.code)
    assert ("retry-after-ms" in trailing) == (ending.code is Code.UNAVAILABLE)
    assert ending.details
    if ending.code is Code.UNAVAILABLE:
        assert reason.reconnect
        assert 500 <= int(trailing["retry-after-ms"]) <= 1500


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (reasons.SHUTDOWN, Code.UNAVAILABLE),
        (reasons.INSUFFICIENT_STATE, Code.UNAVAILABLE),
        (reasons.SLOW, Code.RESOURCE_EXHAUSTED),
        (reasons.INVALID_TOKEN, Code.UNAUTHENTICATED),
        (reasons.TOKEN_MISSING, Code.UNAUTHENTICATED),
        (reasons.DISCONNECT_BAD_REQUEST, Code.INVALID_ARGUMENT),
        (reasons.CONNECTION_EXPIRED, Code.UNAUTHENTICATED),
        (reasons.DISCONNECT_PERMISSION_DENIED, Code.PERMISSION_DENIED),
    ],
)
def test_a_stream_ends_with_the_status_of_its_reason(reason: DisconnectReason, code: Code) -> None:
    """Two reasons with one number are told apart."""
    assert ending_of(reason).code is code
    assert ending_of(reason, "news").details.startswith("news: ")


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.message)
def test_every_error_of_a_command_has_a_status(error: ReplyError) -> None:
    """None is UNKNOWN, and what may succeed later says so."""
    ending = ending_of_failure(CommandError(error, "because"))
    assert ending.code is not Code.UNKNOWN
    assert ending.details == f"{error.message}: because"
    assert (ending.code in {Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED}) >= error.temporary


def test_other_failures_have_theirs() -> None:
    """A broken protocol, an absent broker, and the node's own deadline."""
    assert ending_of_failure(RemoteProtocolError("no such thing")).code is Code.INVALID_ARGUMENT
    assert ending_of_failure(BrokerUnavailable("away")).code is Code.UNAVAILABLE
    assert ending_of_failure(TimeoutError()).code is Code.DEADLINE_EXCEEDED


def test_the_codes_are_those_of_grpc() -> None:
    """Names and numbers."""
    numbers = {code.name: code.value[0] for code in grpc.StatusCode}
    assert all(numbers[code.name] == code for code in Code)
