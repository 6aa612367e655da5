import pytest

from node.protocol.errors import (
    CommandError,
    LocalProtocolError,
    ProtocolError,
    RemoteProtocolError,
    UnencodablePayload,
)
from node.protocol.reasons import BAD_REQUEST, DISCONNECT_BAD_REQUEST, INVALID_TOKEN


@pytest.mark.parametrize(
    "error",
    [
        LocalProtocolError("x"),
        RemoteProtocolError("x"),
        CommandError(BAD_REQUEST, "x"),
        UnencodablePayload("x"),
    ],
)
def test_all_errors_have_one_root(error: Exception) -> None:
    """A caller can tell the protocol core's errors from everything else, and read what was wrong."""
    assert isinstance(error, ProtocolError)
    assert str(error) == "x"


def test_a_remote_error_says_why_to_close() -> None:
    """Breaking the protocol is a bad request unless the error says otherwise."""
    assert RemoteProtocolError("x").reason is DISCONNECT_BAD_REQUEST
    assert RemoteProtocolError("x", INVALID_TOKEN).reason is INVALID_TOKEN


def test_a_command_error_without_detail_reads_as_its_reply() -> None:
    """The log has a text even where there is nothing to add."""
    assert str(CommandError(BAD_REQUEST)) == "bad request"
