"""Sets up logging for the whole process, once: structlog, and the standard library's loggers through it.

Others call `structlog.get_logger(__name__)` and pass ids, counts and reasons as keywords. An event that
a client can cause many times a second is logged with `rate_limited=True`. Nothing here decides what is
worth a line.
"""

import logging
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from node.config.options import LogOptions
from node.telemetry.redaction import refuse_secrets

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure_logging(options: LogOptions, *, node: str, stream: TextIO | None = None) -> "LineWriter":
    """Set up logging; to be called once, before the first line is logged.

    Args:
        options: level and format.
        node: this node's name, on every line.
        stream: where lines go; None for standard error.

    Returns:
        What writes the lines, and counts those it could not write.
    """
    out = stream if stream is not None else sys.stderr
    writer = LineWriter(out)
    console = options.format == "console" or (options.format == "auto" and out.isatty())
    structlog.configure(
        processors=[
            RateLimit(),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _add_node(node),
            refuse_secrets,
            *_rendering(console=console, colors=console and out.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[options.level]),
        logger_factory=lambda *_names: writer,
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers[:] = [_IntoStructlog()]
    # What a library says at level info about its own working is noise here unless debugging.
    root.setLevel(logging.DEBUG if options.level == "debug" else max(logging.WARNING, _LEVELS[options.level]))
    return writer


def _rendering(*, console: bool, colors: bool) -> list[Processor]:
    if console:
        # The default formatter would show every local variable of a traceback, tokens and payloads included.
        return [
            structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)
        ]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(sort_keys=False)]


def _add_node(node: str) -> Processor:
    def add_node(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["node"] = node
        return event

    return add_node


class LineWriter:
    """Writes one line per event and never fails: a log that cannot be written must not end a session.

    Args:
        stream: where to.

    Attributes:
        lost: lines that could not be written.
    """

    __slots__ = ("_stream", "lost")

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.lost = 0

    def msg(self, line: str) -> None:
        """Write a line."""
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            # ValueError: the stream is closed.
            self.lost += 1

    debug = info = warning = warn = error = critical = exception = fatal = log = msg


class RateLimit:
    """Lets an event that says `rate_limited=True` through once per interval, and counts the others.

    The next line of the same event then has `suppressed`, how many were not written in between.

    Args:
        interval_s: seconds between two lines of one event.
        clock: seconds, never going back.
    """

    __slots__ = ("_clock", "_interval_s", "_seen")

    def __init__(self, interval_s: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval_s = interval_s
        self._clock = clock
        # Event -> when a line may be written again, and how many were not. Events are texts of the
        # program, so there are few.
        self._seen: dict[str, tuple[float, int]] = {}

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """Let the event through, or raise DropEvent."""
        if not event.pop("rate_limited", False):
            return event
        name = str(event.get("event", ""))
        now = self._clock()
        again, suppressed = self._seen.get(name, (now, 0))
        if now < again:
            self._seen[name] = (again, suppressed + 1)
            raise structlog.DropEvent
        self._seen[name] = (now + self._interval_s, 0)
        if suppressed:
            event["suppressed"] = suppressed
        return event


class _IntoStructlog(logging.Handler):
    """Hands the standard library's records to structlog, where they get the same form and filter."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            # A library's own mistake in its log arguments.
            message = str(record.msg)
        fields: dict[str, Any] = {"logger": record.name}
        if record.exc_info and record.exc_info[0] is not None:
            fields["exc_info"] = record.exc_info
        # structlog knows the four usual levels by number, and refuses others.
        level = next((level for level in (40, 30, 20) if record.levelno >= level), 10)
        structlog.get_logger().log(level, message, **fields)
