"""`broadcast publish`: one publication through the server API of any node."""

import argparse
import json
import os
import shlex
import sys

import msgspec

from deploy.errors import UserError
from deploy.server_api import call


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("channel", metavar="CHANNEL")
    parser.add_argument("data", metavar="DATA", help="JSON; `-` reads it from standard input")
    parser.add_argument("--text", action="store_true", help="DATA is plain text, sent as a JSON string")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="any node (default: %(default)s)")
    parser.add_argument(
        "--key",
        default=os.environ.get("BROADCAST_HTTP_API_KEY", ""),
        help="the API key (default: $BROADCAST_HTTP_API_KEY)",
    )
    parser.add_argument(
        "--idempotency-key",
        default="",
        metavar="KEY",
        help="publishing again with the same key changes nothing",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.epilog = "Example:\n  broadcast publish news '{\"hello\":1}'"


def run(arguments: argparse.Namespace) -> int:
    """Publish, and say where it stands in the channel's history."""
    data = read_input() if arguments.data == "-" else arguments.data
    request = {"channel": arguments.channel, "data": data if arguments.text else json_data(data)}
    if arguments.idempotency_key:
        request["idempotency_key"] = arguments.idempotency_key
    result = call(arguments.url, "publish", request, arguments.key)
    if arguments.json:
        print(json.dumps(result))
    elif result.get("offset"):
        print(f"published to {arguments.channel} at {result.get('epoch', '')}:{result['offset']}")
    else:
        print(f"published to {arguments.channel}")
    return 0


def read_input() -> str:
    """Standard input, to its end.

    Raises:
        UserError: it is no text.
    """
    try:
        text = sys.stdin.read()
        text.encode()  # in some locales what is no text is read as surrogates
    except UnicodeError as error:
        raise UserError("standard input is not UTF-8") from error
    return text


def json_data(text: str) -> msgspec.Raw:
    """The command line's DATA as it was typed, seen to be JSON: what subscribers get is not rewritten.

    Raises:
        UserError: it is not JSON; most often a shell has taken its quotes.
    """
    try:
        return msgspec.json.decode(text.encode(), type=msgspec.Raw)
    except (ValueError, RecursionError) as error:
        shown = text if len(text) <= 60 else f"{text[:60]}..."
        example = shlex.quote(json.dumps({"text": "hello"}))
        raise UserError(
            f"DATA is not JSON: {shown} ({error}). Put it in single quotes, so that the shell leaves its "
            f"double quotes alone: broadcast publish news {example}; or send plain text with --text"
        ) from error
