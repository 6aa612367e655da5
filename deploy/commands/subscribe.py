"""`broadcast subscribe`: prints what is published to a channel, a line each, and comes back by itself."""

import argparse
import json
import sys

import trio

from deploy.subscriber import Enough, endpoint, follow
from deploy.subscription import Subscription
from deploy.terminal import discard_output
from node.protocol.messages import Publication, StreamPosition


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("channel", metavar="CHANNEL")
    parser.add_argument("--url", default="ws://127.0.0.1:8000", help="any node (default: %(default)s)")
    parser.add_argument("--token", default="", help="a connection token, as `broadcast token` makes one")
    parser.add_argument(
        "--since",
        type=_position,
        metavar="EPOCH:OFFSET",
        help="first everything published after this position",
    )
    parser.add_argument("--count", type=int, metavar="N", help="end after N publications")
    parser.add_argument(
        "--json", action="store_true", help='print {"channel", "offset", "epoch", "data", "tags"}'
    )
    parser.epilog = (
        "Prints `OFFSET DATA`, offset 0 where a channel keeps no history; what else happens, reconnects\n"
        "and whether they recovered everything, is said on standard error."
    )


def run(arguments: argparse.Namespace) -> int:
    """Print until Ctrl-C, or until enough came."""
    url = endpoint(arguments.url)
    subscription = Subscription(arguments.channel, arguments.token, arguments.since)
    left = arguments.count

    def show(publication: Publication) -> None:
        nonlocal left
        try:
            print(render(subscription, publication, as_json=arguments.json), flush=True)
        except BrokenPipeError:
            discard_output()
            raise Enough from None  # the reader has all it wanted: `| head -1`
        if left is not None:
            left -= 1
            if left <= 0:
                raise Enough

    trio.run(follow, url, subscription, show, lambda text: print(text, file=sys.stderr, flush=True))
    return 0


def render(subscription: Subscription, publication: Publication, *, as_json: bool) -> str:
    """One publication as a line."""
    data = bytes(publication.data).decode()
    if not as_json:
        return f"{publication.offset} {data}"
    line = {
        "channel": subscription.channel,
        "offset": publication.offset,
        "epoch": subscription.position.epoch if subscription.position else "",
        "data": json.loads(data),
        "tags": publication.tags,
    }
    return json.dumps(line, ensure_ascii=False)


def _position(text: str) -> StreamPosition:
    epoch, colon, offset = text.rpartition(":")
    if not colon or not offset.isdecimal():
        raise argparse.ArgumentTypeError(f"expected EPOCH:OFFSET as `publish` prints it, found {text}")
    return StreamPosition(offset=int(offset), epoch=epoch)
