"""`broadcast token`: a connection token, signed with the secret of a config."""

import argparse
import json
import time

from deploy.configs import add_config_arguments, read_config
from deploy.errors import UserError
from node.access.tokens import make_token
from node.config.durations import parse_duration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--user", required=True, metavar="NAME", help='the user\'s id, "" for an anonymous one'
    )
    parser.add_argument(
        "--ttl",
        type=_ttl,
        default="1h",
        metavar="TIME",
        help="how long it is valid, 0 for ever (default: 1h)",
    )
    parser.add_argument("--json", action="store_true", help='print {"token", "user", "expires_at"}')
    add_config_arguments(parser)
    parser.epilog = "Example:\n  broadcast token --user ann --config cluster.yaml"


def run(arguments: argparse.Namespace) -> int:
    """Print a token that the nodes of this config accept."""
    config = read_config(arguments.config, dict(arguments.settings))
    if not config.client.token.hmac_secret_key:
        raise UserError(
            "there is no secret to sign with: give the cluster's config with --config FILE, or set "
            "client.token.hmac_secret_key (BROADCAST_CLIENT_TOKEN_HMAC_SECRET_KEY)"
        )
    now = time.time()
    ttl_s = arguments.ttl or None
    token = make_token(config.client.token, arguments.user, now=now, ttl_s=ttl_s)
    if arguments.json:
        expires_at = int(now + ttl_s) if ttl_s else None
        print(json.dumps({"token": token, "user": arguments.user, "expires_at": expires_at}))
    else:
        print(token)
    return 0


def _ttl(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}; write 1h, 30m or seconds") from error
