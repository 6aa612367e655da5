"""What a process of the cluster uses, as the kernel and its own metrics tell it."""

import functools
import os
import re
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import trio

from chaos.history import Sample
from chaos.targets.interface import Part
from chaos.workload.http import BadAnswer, Body, answer_head, request

_ANSWER_MAX_S = 1.0
_CONNECTIONS = re.compile(rb"^broadcast_connections\{[^}]*\} ([0-9.e+]+)$", re.MULTILINE)
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Usage:
    """Takes samples; remembers the CPU time of each process between two."""

    def __init__(self) -> None:
        self._cpu: dict[int, tuple[float, float]] = {}

    async def sample(self, part: Part, connect_rates: Mapping[str, float]) -> Sample | None:
        """One process now, None if it is gone.

        Args:
            part: which; a node is asked for its metrics too, if it answers within a second.
            connect_rates: sessions a second that each node says it can take.
        """
        connected = await connections(part) if part.kind == "node" and part.up else None
        process = Path("/proc", str(part.pid))
        try:
            status = process.joinpath("stat").read_text().rpartition(")")[2].split()
            files = sum(1 for _ in process.joinpath("fd").iterdir())
        except OSError:
            return None
        # proc(5), counted behind the name: 11 utime, 12 stime, 17 num_threads, 21 rss.
        now, used_s = time.monotonic(), (int(status[11]) + int(status[12])) / _TICKS_PER_S
        before = self._cpu.get(part.pid)
        self._cpu[part.pid] = (now, used_s)
        cpu = None if before is None else (used_s - before[1]) / max(now - before[0], 1e-3)
        return Sample(
            now,
            part.name,
            part.kind,
            pid=part.pid,
            connections=connected,
            files=files,
            memory_bytes=int(status[21]) * _PAGE_BYTES,
            tasks=int(status[17]),
            connect_rate=connect_rates.get(part.name),
            cpu=cpu,
        )


async def connections(node: Part) -> int | None:
    """How many clients a node has, None if it does not answer within a second."""
    body = await get(node.url, "/metrics")
    found = _CONNECTIONS.findall(body) if body else []
    return int(sum(float(number) for number in found)) if body else None


async def get(url: str, path: str) -> bytes | None:
    """What a server answers to a GET within a second, None for anything but a 200.

    Over https, whom we trust and what we show is in the variables of the commands for coordinators.
    """
    address = urlsplit(url)
    host, port = address.hostname or "", address.port or (443 if address.scheme == "https" else 80)
    try:
        with trio.fail_after(_ANSWER_MAX_S):
            async with await _opened(address.scheme, host, port) as stream:
                await stream.send_all(request("GET", path, f"{host}:{port}", {"Connection": "close"}))
                received = b"".join([bytes(chunk) async for chunk in stream])
        answer = answer_head(received)
        if answer is None or answer.status != 200:
            return None
        return Body(answer).feed(received[answer.length :])
    except (OSError, trio.TooSlowError, trio.BrokenResourceError, BadAnswer):
        return None


async def _opened(scheme: str, host: str, port: int) -> trio.SocketStream | trio.SSLStream[trio.SocketStream]:
    if scheme != "https":
        return await trio.open_tcp_stream(host, port)
    files = (os.environ.get(f"BROADCAST_COORDINATOR_{name}_FILE", "") for name in ("CA", "CERT", "KEY"))
    return await trio.open_ssl_over_tcp_stream(
        host, port, https_compatible=True, ssl_context=_context(*files)
    )


@functools.cache
def _context(ca_file: str, cert_file: str, key_file: str) -> ssl.SSLContext:
    # Like the commands: an authority's file that is not there is passed over.
    context = ssl.create_default_context(cafile=ca_file if Path(ca_file).is_file() else None)
    if cert_file:
        context.load_cert_chain(cert_file, key_file or None, password="")
    return context
