"""A request turned away before it becomes a session: an HTTP status, and a line that says why."""


class Refusal(Exception):
    """A request that its transport does not serve.

    Args:
        status: the HTTP status.
        cause: one word for the metric, out of the program.
        detail: what was wrong and what to do, for the client and the log; contains no token.
        fields: further header lines, each with its CRLF.
    """

    def __init__(self, status: int, cause: str, detail: str, fields: str = "") -> None:
        super().__init__(detail)
        self.status = status
        self.cause = cause
        self.detail = detail
        self.fields = fields
