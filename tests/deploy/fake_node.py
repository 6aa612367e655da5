"""Stands in for `broadcast node` and `coordinator` where a cluster is tested: same arguments, no service.

The config file says how it behaves: `well`, `dies at start`, `dies when ready`, `is silent` or
`ignores SIGTERM`.
"""

import argparse
import json
import os
import signal
import sys
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser()
    for option in ("--config", "--name", "--http-address", "--http-port", "--nats", "--ready-fd", "--set"):
        parser.add_argument(option, required=True, action="append" if option == "--set" else "store")
    for option in ("--grpc-port", "--grpc-address", "--serve"):
        parser.add_argument(option)
    arguments = parser.parse_args()
    behaviour = Path(arguments.config).read_text().strip()
    sys.stderr.write(f"{arguments.name} uses {arguments.nats}\n{arguments.name} is set {arguments.set}\n")
    if behaviour == "dies at start":
        sys.exit(3)
    if behaviour == "ignores SIGTERM":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if behaviour != "is silent":
        ready = {"name": arguments.name, "pid": os.getpid(), "http": f"http://x:{arguments.http_port}"}
        if arguments.grpc_port:
            ready["grpc"] = f"x:{arguments.grpc_port}"
        os.write(int(arguments.ready_fd), json.dumps(ready).encode() + b"\n")
        os.close(int(arguments.ready_fd))
    if behaviour == "dies when ready" and arguments.name == "node-2":
        sys.exit(4)
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
