"""Commands of one client served one after another, whichever way they came."""

from collections.abc import Callable, Sequence

import trio

from node.commands import handle
from node.protocol.errors import RemoteProtocolError
from node.protocol.messages import Command
from node.session import Session

# How many messages or commands of one client are served before others get the loop.
SERVED_PER_TURN = 32


async def serve_frame(session: Session, decode: Callable[[bytes], list[Command]], frame: bytes) -> None:
    """Serve what a client sent as one message; after the session's end, nothing.

    Args:
        session: the client's.
        decode: of its encoding; raises RemoteProtocolError.
        frame: not empty of commands, or the client has broken the protocol.
    """
    if session.closed:
        return
    try:
        commands = decode(frame)
    except RemoteProtocolError as error:
        session.protocol_error(error)
        return
    await serve_commands(session, commands)


async def serve_commands(session: Session, commands: Sequence[Command]) -> None:
    """Serve commands in order until one of them ends the session."""
    for served, command in enumerate(commands, 1):
        await handle(session, command)
        if session.closed:
            return
        if served % SERVED_PER_TURN == 0:
            await trio.lowlevel.checkpoint()
