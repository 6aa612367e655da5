"""An HTTP answer without an end: its head is looked at, its body passed on. Sans-I/O."""

from chaos.workload.dialog import Over
from chaos.workload.http import Body, answer_head

_OK = 200


class StreamedAnswer:
    """One answer."""

    __slots__ = ("_body", "_head")

    def __init__(self) -> None:
        self._head = b""
        self._body: Body | None = None

    def feed(self, data: bytes) -> bytes:
        """What of the body these bytes hold.

        Raises:
            Over: the answer is a refusal.
            BadAnswer: it is none.
        """
        if self._body is None:
            self._head += data
            answer = answer_head(self._head)
            if answer is None:
                return b""
            if answer.status != _OK:
                retry = answer.fields.get("retry-after", "")
                raise Over(0, f"HTTP {answer.status}", float(retry) if retry.isdigit() else None)
            self._body = Body(answer)
            data, self._head = self._head[answer.length :], b""
        return self._body.feed(data)
