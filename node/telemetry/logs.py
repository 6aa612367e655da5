"""Sets up logging for the whole process, once: structlog, and the standard library's loggers through it.

Others call `structlog.get_logger(__name__)` and pass ids, counts and reasons as keywords. An event that
a client can cause many times a second is logged with `rate_limited`: True, or a code or word out of the
program for each kind of it that has lines of its own. Nothing here decides what is worth a line.
"""

import logging
import sys
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from node.config.options import LogOptions
from node.telemetry.redaction import refuse_secrets

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
# Loggers of aioquic. It warns of each client that breaks a rule, without a limit; our own line has one.
_WARNING_OF_STRANGERS = ("quic", "http3")


def configure_logging(options: LogOptions, *, node: str, stream: TextIO | None = None) -> "MissingLines":
    """Set up logging; to be called once, before the first line is logged.

    Args:
        options: level and format.
        node: this node's name, on every line.
        stream: where lines go; None for standard error.

    Returns:
        What keeps counting the lines that are not written.
    """
    out = stream if stream is not None else sys.stderr
    missing = MissingLines()
    writer = LineWriter(out, missing)
    console = options.format == "console" or (options.format == "auto" and out.isatty())
    structlog.configure(
        processors=[
            RateLimit(missing),
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
    for name in _WARNING_OF_STRANGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    return missing


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


@dataclass(slots=True)
class MissingLines:
    """How many lines the log does not have.

    Attributes:
        lost: could not be written.
        suppressed: left out by the rate limit.
    """

    lost: int = 0
    suppressed: int = 0


class LineWriter:
    """Writes one line per event and never fails: a log that cannot be written must not end a session.

    Args:
        stream: where to.
        missing: lines that could not be written are counted there.
    """

    __slots__ = ("_missing", "_stream")

    def __init__(self, stream: TextIO, missing: MissingLines) -> None:
        self._stream = stream
        self._missing = missing

    def msg(self, line: str) -> None:
        """Write a line."""
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            # ValueError: the stream is closed.
            self._missing.lost += 1

    debug = info = warning = warn = error = critical = exception = fatal = log = msg


class RateLimit:
    """Lets an event that says `rate_limited` through once per interval and kind, and counts the others.

    The next line of the same event and kind then has `suppressed`, how many were not written in between.

    Args:
        missing: events that were not let through are counted there.
        interval_s: seconds between two lines of one event.
        clock: seconds, never going back.
    """

    __slots__ = ("_clock", "_interval_s", "_missing", "_seen")

    def __init__(
        self,
        missing: MissingLines,
        interval_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._missing = missing
        self._interval_s = interval_s
        self._clock = clock
        # Event and kind -> when a line may be written again, and how many were not. Both are texts of
        # the program, so there are few.
        self._seen: dict[tuple[str, Hashable], tuple[float, int]] = {}

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """Let the event through, or raise DropEvent."""
        kind = event.pop("rate_limited", False)
        if kind is False:
            return event
        key = (str(event.get("event", "")), kind)
        now = self._clock()
        again, suppressed = self._seen.get(key, (now, 0))
        if now < again:
            self._seen[key] = (again, suppressed + 1)
            self._missing.suppressed += 1
            raise structlog.DropEvent
        self._seen[key] = (now + self._interval_s, 0)
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
