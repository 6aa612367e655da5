"""What a person sees of a chaos run: a live view on a terminal, lines elsewhere, a summary at the end."""

from types import TracebackType
from typing import Self, TextIO

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from chaos.runner import Outcome, View

_LINE_EVERY_S = 5.0


class LiveScreen:
    """A view that is drawn again and again.

    Args:
        title: of the experiment.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._live = Live(auto_refresh=False)

    def show(self, view: View) -> None:
        """Draw it."""
        table = Table.grid(padding=(0, 2))
        for name, value in _rows(view):
            style = "red" if name == "faults" and value != "none" else ""
            table.add_row(Text(name, style="dim"), Text(value, style=style))
        self._live.update(Group(Text(self._title, style="bold"), table), refresh=True)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, value, trace)


class Lines:
    """A line when something changes, and every five seconds.

    Args:
        stream: where they go.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last: tuple[object, ...] = ()
        self._due_s = 0.0

    def show(self, view: View) -> None:
        """Write it, if there is something new."""
        key = (view.phase, view.in_force, view.step)
        if key == self._last and view.elapsed_s < self._due_s:
            return
        self._last, self._due_s = key, view.elapsed_s + _LINE_EVERY_S
        text = ", ".join(f"{name} {value}" for name, value in _rows(view)[1:])
        print(f"{view.elapsed_s:6.1f} s  {view.phase:<8} {text}", file=self._stream, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.flush()


def _rows(view: View) -> list[tuple[str, str]]:
    rows = [
        ("phase", f"{view.phase}, {view.elapsed_s:.0f} s"),
        ("step", view.step),
        ("faults", ", ".join(view.in_force) or "none"),
    ]
    if (status := view.status) is not None:
        rows += [
            ("clients", f"{status.live}/{status.clients}"),
            ("delivered", f"{status.deliveries} ({view.deliveries_per_s:.0f}/s)"),
            ("latest", f"{status.delay_s * 1000:.0f} ms"),
            ("accepted", f"{status.accepted}"),
            ("sessions", f"{status.sessions}"),
            ("behind", f"{status.behind}"),
            ("harness", f"{status.cpu:.0%} of a core, {status.lag_s * 1000:.0f} ms late"),
        ]
    return rows


def summary(outcome: Outcome) -> str:
    """Every verdict in a line, and where the report is."""
    width = max((len(each.name) for each in outcome.verdicts), default=0)
    lines = [f"{each.state:<8} {each.name:<{width}}  {each.summary}" for each in outcome.verdicts]
    lines += [f"failed   {text}" for text in outcome.failed]
    lines += ["", f"{outcome.state}; {outcome.report or outcome.directory}"]
    return "\n".join(lines)
