"""Logging as the whole process sees it."""

import io
import json
import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import structlog

from node.config.options import LogOptions
from node.telemetry.logs import MissingLines, RateLimit, configure_logging


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    """The set-up is the process's: other tests get theirs back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def start(stream: io.StringIO | None = None, **options: Any) -> io.StringIO:
    out = io.StringIO() if stream is None else stream
    configure_logging(LogOptions(**options), node="n1", stream=out)
    return out


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_line_has_time_level_event_and_node() -> None:
    """Whoever collects the logs of many nodes can sort them."""
    out = start(format="json")
    structlog.get_logger("node.session").warning("slow client", client="c1")
    (line,) = lines(out)
    moment = datetime.fromisoformat(line.pop("timestamp"))
    assert moment.utcoffset() is not None
    assert not moment.utcoffset()
    assert line == {"event": "slow client", "level": "warning", "node": "n1", "client": "c1"}


@pytest.mark.parametrize(
    ("stream", "format_", "is_json"),
    [
        (io.StringIO, "auto", True),
        (Terminal, "auto", False),
        (Terminal, "json", True),
        (io.StringIO, "console", False),
    ],
)
def test_a_terminal_gets_text_and_a_pipe_gets_json(
    stream: type[io.StringIO], format_: str, is_json: bool
) -> None:
    """Unless the config says otherwise."""
    out = start(stream(), format=format_)
    structlog.get_logger().info("ready", port=8000)
    assert out.getvalue().startswith("{") is is_json
    assert "ready" in out.getvalue()
    assert "n1" in out.getvalue()


def test_levels_below_the_configured_one_are_not_written() -> None:
    """And cost a call that does nothing."""
    out = start(level="warning", format="json")
    log = structlog.get_logger()
    log.debug("a")
    log.info("b")
    log.warning("c")
    assert [line["event"] for line in lines(out)] == ["c"]


def test_the_standard_librarys_loggers_are_routed() -> None:
    """What hypercorn says has the same form, its arguments filled in and its traceback with it."""
    out = start(format="json")
    try:
        {}["x"]
    except KeyError:
        logging.getLogger("hypercorn.error").exception("Error in %s", "ASGI")
    (line,) = lines(out)
    assert (line["event"], line["level"], line["logger"]) == ("Error in ASGI", "error", "hypercorn.error")
    assert "KeyError: 'x'" in line["exception"]


def test_libraries_chatter_is_left_out_unless_debugging() -> None:
    """Their info is our debug."""
    out = start(level="info", format="json")
    logging.getLogger("some.library").info("working")
    assert lines(out) == []
    out = start(level="debug", format="json")
    logging.getLogger("some.library").log(25, "working")
    logging.getLogger("some.library").log(5, "not even then")
    assert [(line["event"], line["level"]) for line in lines(out)] == [("working", "info")]


def test_what_aioquic_says_of_strangers_is_left_out() -> None:
    """It warns of every client that breaks a rule, without a limit; its errors are lines."""
    out = start(level="debug", format="json")
    logging.getLogger("quic").warning("a client did something")
    logging.getLogger("http3").error("something is wrong here")
    assert [line["event"] for line in lines(out)] == ["something is wrong here"]


def test_a_librarys_broken_log_call_is_still_a_line() -> None:
    """Arguments that do not fit the message do not raise in our loop."""
    out = start(format="json")
    logging.getLogger("some.library").warning("%d things", "many")
    assert lines(out)[0]["event"] == "%d things"


def test_secrets_are_refused() -> None:
    """Whoever passes one: the value is not written, the key is named."""
    out = start(format="json")
    structlog.get_logger().info("connect", token="sesame", client="c1")
    assert "sesame" not in out.getvalue()
    assert lines(out)[0]["refused"] == ["token"]


@pytest.mark.parametrize("format_", ["json", "console"])
def test_tracebacks_show_no_local_variables(format_: str) -> None:
    """They hold tokens and payloads."""
    out = start(format=format_)
    fail(len("sesame"))
    assert "ValueError: invalid literal for int() with base 10: 'x6'" in out.getvalue()
    assert "*" * 6 not in out.getvalue()


def test_a_log_that_cannot_be_written_is_counted() -> None:
    """A closed standard error ends no session."""
    out = io.StringIO()
    missing = configure_logging(LogOptions(format="json"), node="n1", stream=out)
    out.close()
    structlog.get_logger().info("a")
    structlog.get_logger().info("b")
    assert (missing.lost, missing.suppressed) == (2, 0)


def fail(length: int) -> None:
    stars = "*" * length
    try:
        int(f"x{len(stars)}")
    except ValueError:
        structlog.get_logger().exception("failed")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_noisy_event_is_written_once_a_second_with_the_number_of_the_others() -> None:
    """A flood of bad clients does not fill the disk, and what it was can still be told."""
    clock = Clock()
    missing = MissingLines()
    limit = RateLimit(missing, clock=clock)
    written: list[dict[str, Any]] = []

    def log(event: str, **fields: Any) -> None:
        try:
            written.append(dict(limit(None, "info", {"event": event, **fields})))
        except structlog.DropEvent:
            return

    for _ in range(5):
        log("malformed", rate_limited=True)
    log("other", rate_limited=True)
    log("not limited")
    log("not limited")
    clock.now += 1
    log("malformed", rate_limited=True)
    clock.now += 1
    log("malformed", rate_limited=True)
    assert written == [
        {"event": "malformed"},
        {"event": "other"},
        {"event": "not limited"},
        {"event": "not limited"},
        {"event": "malformed", "suppressed": 4},
        {"event": "malformed"},
    ]
    assert missing.suppressed == 4


def test_kinds_of_a_noisy_event_do_not_hide_each_other() -> None:
    """Who floods the log with one code leaves the lines of the other codes to be seen."""
    out = start(format="json")
    for code in (0, 103, 103, 103, 107):
        structlog.get_logger().info("refused", rate_limited=code, code=code)
    assert [line["code"] for line in lines(out)] == [0, 103, 107]


def test_the_rate_limit_is_part_of_the_set_up() -> None:
    """Callers pass one keyword and import nothing."""
    out = start(format="json")
    for _ in range(3):
        structlog.get_logger().warning("malformed", rate_limited=True, client="c1")
    assert len(lines(out)) == 1
    assert "rate_limited" not in out.getvalue()
