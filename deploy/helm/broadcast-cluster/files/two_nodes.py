# noqa: INP001 - a program of its own, mounted into the test's pod
"""Publishes through one node and receives through another one, both ways; what `helm test` runs.

    two_nodes.py HOST PORT CHANNEL      # HOST has an address per node
    two_nodes.py HOST:PORT HOST:PORT CHANNEL

Keys come from BROADCAST_CLIENT_TOKEN_HMAC_SECRET_KEY and BROADCAST_HTTP_API_KEY. Exit code 0 if both messages
arrived.
"""

import json
import os
import socket
import sys
import time
import urllib.request
import uuid

import jwt
from websockets.sync.client import ClientConnection, connect

DEADLINE_S = 30


def main(arguments: list[str]) -> int:
    """Tries both directions between two nodes."""
    *where, channel = arguments
    nodes = where if ":" in where[0] else resolve(where[0], int(where[1]))
    if len(nodes) < 2:
        sys.exit(f"two nodes are needed, and there is only {nodes}: give `nodes.replicas` 2 or more")
    first, second = nodes[:2]
    for receiver, publisher in ((first, second), (second, first)):
        took_s = deliver(receiver, publisher, channel)
        print(f"published at {publisher}, received at {receiver} after {took_s * 1000:.0f} ms")
    return 0


def resolve(host: str, port: int) -> list[str]:
    """The address of every node behind a name; waits for two of them."""
    end = time.monotonic() + DEADLINE_S
    while True:
        try:
            found = {str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
        except socket.gaierror:
            found = set()
        if len(found) > 1 or time.monotonic() > end:
            hosts = [f"[{address}]" if ":" in address else address for address in sorted(found)]
            return [f"{host}:{port}" for host in hosts]
        time.sleep(1)


def deliver(receiver: str, publisher: str, channel: str) -> float:
    """Sends a message around; returns the seconds it took.

    Args:
        receiver: HOST:PORT of the node to subscribe at.
        publisher: HOST:PORT of the node to publish at.
        channel: the channel to use.
    """
    message = {"test": uuid.uuid4().hex}
    with connect(f"ws://{receiver}/ws", additional_headers=credentials(), open_timeout=DEADLINE_S) as client:
        client.send(json.dumps({"type": "subscribe", "channel": channel}))
        wait_for(client, "subscribed", {})
        began = time.monotonic()
        publish(publisher, channel, message)
        wait_for(client, "publication", {"data": message})
        return time.monotonic() - began


def wait_for(client: ClientConnection, kind: str, fields: dict[str, object]) -> None:
    """Reads on until a message of this kind with these fields comes; ends the test if it does not."""
    end = time.monotonic() + DEADLINE_S
    while True:
        received = json.loads(client.recv(timeout=max(0, end - time.monotonic())))
        if received["type"] in ("error", "disconnect", "unsubscribed"):
            sys.exit(f"while waiting for `{kind}` came {received}")
        if received["type"] == kind and fields.items() <= received.items():
            return


def publish(node: str, channel: str, data: dict[str, str]) -> None:
    """Publishes through the server API; ends the test if it is refused."""
    request = urllib.request.Request(
        f"http://{node}/api/publish",
        json.dumps({"channel": channel, "data": data}).encode(),
        {"Content-Type": "application/json", "X-API-Key": os.environ.get("BROADCAST_HTTP_API_KEY", "")},
    )
    with urllib.request.urlopen(request, timeout=DEADLINE_S) as response:  # noqa: S310 - as above
        answer = json.load(response)
    if "error" in answer:
        sys.exit(f"publishing at {node} was answered with {answer['error']}")


def credentials() -> dict[str, str]:
    """The header with a token, if there is a key to sign one with."""
    key = os.environ.get("BROADCAST_CLIENT_TOKEN_HMAC_SECRET_KEY", "")
    if not key:
        return {}
    token = jwt.encode({"sub": "helm-test", "exp": int(time.time()) + 300}, key, algorithm="HS256")
    return {"Authorization": f"Bearer {token}"}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
