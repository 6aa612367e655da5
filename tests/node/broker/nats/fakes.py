"""A JetStream without a server: replicas of one stream that lag as a test wants it. No test lives here."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from node.broker.interface import BrokerUnavailable
from node.broker.nats.protocol import Msg

TIME = "2026-01-02T03:04:05Z"


@dataclass
class FakeStream:
    """One stream and the requests that reach it.

    Attributes:
        log: everything stored: (subject, payload).
        lags: how many messages the replica behind each coming direct get has not got yet.
        missing: answer nothing at all while it is positive, counted down.
        refusal: the error the next publish is answered with.
        settings: the configuration, None while there is no stream.
        asked: the requests, without their common beginnings.
    """

    settings: dict[str, Any] | None = None
    log: list[tuple[str, bytes]] = field(default_factory=list)
    lags: list[int] = field(default_factory=list)
    missing: int = 0
    refusal: dict[str, Any] | None = None
    asked: list[str] = field(default_factory=list)
    before: Callable[[str], None] = lambda _call: None
    created: str = TIME

    async def request(self, subject: str, payload: bytes, headers: bytes = b"", *, deadline_s: float) -> Msg:
        """Answer as a stream's leader does."""
        return (await self.request_many(subject, payload, headers, is_last=bool, deadline_s=deadline_s))[0]

    async def request_many(
        self,
        subject: str,
        payload: bytes,
        headers: bytes = b"",
        *,
        is_last: Callable[[Msg], Any],
        deadline_s: float,
    ) -> list[Msg]:
        """Answer a direct get from a replica, anything else as the leader."""
        call = subject.removeprefix("$JS.API.").rpartition(".")[0] if subject.startswith("$JS") else "PUB"
        self.asked.append(call)
        self.before(call)
        if self.missing:
            self.missing -= 1
            raise BrokerUnavailable("nobody answers")
        query = msgspec.json.decode(payload) if payload and call != "PUB" else {}
        if call == "DIRECT.GET":
            lag = self.lags.pop(0) if self.lags else 0
            return list(self._direct(self.log[: len(self.log) - lag], query))
        return [Msg(b"", b"", b"", msgspec.json.encode(self._leader(call, subject, payload, headers, query)))]

    def _leader(self, call: str, subject: str, payload: bytes, headers: bytes, query: Any) -> Any:
        if call == "PUB":
            return self._store(subject, payload, headers)
        if call in ("STREAM.CREATE", "STREAM.UPDATE"):
            self.settings = query
        if self.settings is None:
            return {"error": {"code": 404, "err_code": 10059, "description": "stream not found"}}
        if call == "STREAM.MSG.GET":
            found = [item for item in enumerate(self.log, 1) if item[1][0] == query["last_by_subj"]]
            if not found:
                return {"error": {"code": 404, "err_code": 10037, "description": "no message found"}}
            sequence, (_, data) = found[-1]
            return {"message": {"seq": sequence, "time": TIME, "data": msgspec.to_builtins(data)}}
        state = {"last_seq": len(self.log)}
        return {"config": self.settings, "created": self.created, "state": state, "ts": TIME}

    def _store(self, subject: str, payload: bytes, headers: bytes) -> Any:
        if self.refusal:
            error, self.refusal = self.refusal, None
            return {"error": error}
        head = max((number for number, (name, _) in enumerate(self.log, 1) if name == subject), default=0)
        if b"Last-Subject-Sequence" in headers and f"Sequence: {head}\r\n".encode() not in headers:
            return {"error": {"code": 400, "err_code": 10071, "description": "wrong last sequence"}}
        self.log.append((subject, payload))
        return {"seq": len(self.log)}

    def _direct(self, log: list[tuple[str, bytes]], query: Any) -> Iterable[Msg]:
        numbered = list(enumerate(log, 1))
        if "multi_last" in query:
            heads = {name: sequence for sequence, (name, _) in numbered if name in query["multi_last"]}
            found = sorted(heads.values())
        else:
            wanted = query["next_by_subj"]
            found = [s for s, (name, _) in numbered if s >= query.get("seq", 1) and wanted in (name, ">")]
        found_count, bytes_left = len(found), query.get("max_bytes", 64_000_000)
        found = found[: query.get("batch", len(found))]
        sent = 0
        for sequence in found:
            # As servers do: the message that goes over the limit is still sent.
            if bytes_left <= 0:
                break
            name, data = log[sequence - 1]
            bytes_left -= len(name) + len(data)
            sent += 1
            lines = f"Nats-Subject: {name}\r\nNats-Sequence: {sequence}\r\nNats-Time-Stamp: {TIME}"
            yield Msg(b"", b"", f"NATS/1.0\r\nNats-Stream: s\r\n{lines}\r\n\r\n".encode(), data)
        if not found:
            yield Msg(b"", b"", b"NATS/1.0 404 No Results\r\n\r\n", b"")
            return
        end = f"Nats-Num-Pending: {found_count - sent}\r\nNats-UpTo-Sequence: {len(log)}"
        yield Msg(b"", b"", f"NATS/1.0 204 EOB\r\n{end}\r\n\r\n".encode(), b"")
