"""The report of a run: `report.json` for programs, `report.html` for people, one file with nothing to load.

It says what the verdicts say and shows when what happened; it judges nothing itself.
"""

from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path

import msgspec

from chaos.checkers.verdict import Case, Verdict, worst
from chaos.history import Subscribed
from chaos.plots import Line, Panel, Rows, Span, plot
from chaos.recorded import Recorded
from chaos.series import Gap, Series, gaps, series

_OPEN_MAX = 5  # cases; more are unfolded by who wants them
_LEGEND = (
    "Seconds since the run began; faults that were in force are bands. Lags are of what was published in "
    "that moment, to healthy clients. Clients: away, without a session; waiting, with a publication on its "
    "way for more than a second; wrong, as the evidence says. Shown are the thirty that did without for "
    "longest, and all that the evidence names."
)
_STYLE = Path(__file__).with_name("report.css")


class FaultSpan(msgspec.Struct, frozen=True):
    """A fault in the report.

    Attributes:
        name: with its target.
        began: seconds since the run began.
        ended: likewise; None if it was never healed.
        slow: whether it is slow clients.
    """

    name: str
    began: float
    ended: float | None
    slow: bool


class Report(msgspec.Struct, frozen=True):
    """Everything the report tells.

    Attributes:
        experiment: what was run.
        seed: of its schedule.
        command: runs it again.
        started: date and time.
        duration_s: from the first to the last record.
        state: the worst of the verdicts.
        verdicts: of all checkers.
        counts: how much of what there was.
        phases: when each began, seconds since the run began.
        faults: by time.
        skipped: faults that could not be injected, and why.
        series: the lines of the plots.
        gaps: when clients were away or waited, of those that did longest.
        notes: by time.
    """

    experiment: str
    seed: int
    command: str
    started: str
    duration_s: float
    state: str
    verdicts: list[Verdict]
    counts: dict[str, int]
    phases: list[tuple[float, str]]
    faults: list[FaultSpan]
    skipped: list[str]
    series: Series
    gaps: list[Gap]
    notes: list[tuple[float, str]]


def write_report(directory: Path, recorded: Recorded, verdicts: list[Verdict]) -> Path:
    """Writes both files; returns the one for people.

    Args:
        directory: exists.
        recorded: what happened.
        verdicts: what was found.

    Raises:
        OSError: a file could not be written.
    """
    report = summarise(recorded, verdicts)
    (directory / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1))
    page = directory / "report.html"
    page.write_text(render(report), encoding="utf-8")
    return page


def summarise(recorded: Recorded, verdicts: list[Verdict]) -> Report:
    """What the report tells of a history."""
    run, zero = recorded.run, recorded.zero
    return Report(
        run.experiment,
        run.seed,
        run.command,
        run.started,
        round(recorded.end - zero, 3),
        worst(verdicts),
        verdicts,
        _counts(recorded),
        [(phase.t - zero, phase.name) for phase in recorded.phases],
        [
            FaultSpan(fault.name, began - zero, None if ended == float("inf") else ended - zero, fault.slow)
            for fault, began, ended in recorded.spans()
        ],
        [f"{fault.name}: {fault.detail}" for fault in recorded.faults if fault.phase == "skipped"],
        series(recorded),
        gaps(recorded),
        [(note.t - zero, note.text) for note in recorded.notes],
    )


def _counts(recorded: Recorded) -> dict[str, int]:
    outcomes = Counter(each.outcome for each in recorded.publications if each.invoked is not None)
    answers = Counter(
        mark.recovered
        for stream in recorded.streams.values()
        for _, mark in stream.marks
        if isinstance(mark, Subscribed)
    )
    sessions = Counter(each.phase for listed in recorded.sessions.values() for each in listed)
    return {
        "clients": len(recorded.clients or recorded.sessions),
        "publications accepted": outcomes["ok"],
        "publications failed": outcomes["fail"],
        "publications without an answer": outcomes["unknown"] + outcomes["invoke"],
        "deliveries": sum(len(stream.times) for stream in recorded.streams.values()),
        "sessions": sessions["connected"],
        "complete recoveries": answers[True],
        "refused recoveries": answers[False],
    }


def render(report: Report) -> str:
    """The page."""
    title = f"{report.experiment or 'chaos run'}: {report.state}"
    facts = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{count:,}</dd></div>"
        for name, count in report.counts.items()
        if count
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{escape(title)}</title>
<style>
{_STYLE.read_text(encoding="utf-8")}</style></head><body>
<header><h1>{escape(report.experiment or "chaos run")} {_badge(report.state)}</h1>
<p>{escape(report.started)} · {report.duration_s:,.0f} s · seed {report.seed}</p>
{f"<p>Run it again: <code>{escape(report.command)}</code></p>" if report.command else ""}
<dl>{facts}</dl></header>
<h2>Verdicts</h2>
<table><thead><tr><th>Verdict</th><th></th><th>Why</th></tr></thead><tbody>
{"".join(map(_verdict, report.verdicts))}</tbody></table>
{_list("Not injected here", report.skipped)}
<h2>What happened when</h2>
<figure>{_plots(report)}</figure>
<p class="hint">{_LEGEND}</p>
{_list("Notes", [f"{t:.1f} s: {text}" for t, text in report.notes])}
</body></html>
"""


def _badge(state: str) -> str:
    sign = {"valid": "✓", "invalid": "✗"}.get(state, "?")
    return f'<span class="badge {state}">{sign} {state}</span>'


def _verdict(verdict: Verdict) -> str:
    figures = ", ".join(
        f"{name} {_figure(value)}"
        for name, value in verdict.measured.items()
        if name not in ("judged", "wrong")
    )
    evidence = _evidence(verdict.evidence, int(verdict.measured.get("wrong", 0)))
    return (
        f"<tr><th>{escape(verdict.name.replace('_', ' '))}</th><td>{_badge(verdict.state)}</td>"
        f'<td>{escape(verdict.summary)}<div class="hint">{escape(figures)}</div>{evidence}</td></tr>\n'
    )


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _evidence(cases: Sequence[Case], count: int) -> str:
    if not cases:
        return ""
    rows = "".join(
        f"<tr><td>{'' if case.t is None else f'{case.t:.3f}'}</td><td>{escape(case.client)}</td>"
        f"<td>{escape(case.channel)}</td><td>{escape(case.id)}</td>"
        f"<td>{'' if case.offset is None else case.offset}</td><td>{escape(case.node)}</td>"
        f"<td>{escape(case.what)}</td></tr>"
        for case in cases
    )
    heads = "".join(f"<th>{name}</th>" for name in ("s", "client", "channel", "id", "offset", "node", "what"))
    said = f"the first {len(cases)} of {count:,}" if count > len(cases) else f"all {len(cases)}"
    shown = " open" if len(cases) <= _OPEN_MAX else ""
    return (
        f'<details{shown}><summary>Evidence: {said}</summary><div class="wide"><table class="cases">'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div></details>"
    )


def _list(title: str, items: Sequence[str]) -> str:
    if not items:
        return ""
    return f"<h2>{title}</h2><ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>"


def _plots(report: Report) -> str:
    lines = report.series
    rows: dict[str, list[Span]] = {}
    for gap in report.gaps:
        rows.setdefault(gap.client, []).append(
            Span(gap.began, gap.ended, f"{gap.client} {gap.kind}", gap.kind)
        )
    for case in (case for verdict in report.verdicts for case in verdict.evidence):
        if case.client and case.t is not None:
            span = Span(case.t, case.t, f"{case.client}: {case.what} {case.id}", "wrong")
            rows.setdefault(case.client, []).append(span)
    parts: list[Panel | Rows] = [
        Panel("Deliveries a second", [Line("to all clients", "one", lines.deliveries_per_s)]),
        Panel(
            "Publications a second",
            [
                Line("accepted", "one", lines.publications_per_s),
                Line("failed or without an answer", "two", lines.not_accepted_per_s),
            ],
        ),
        Panel(
            "From publishing to delivery",
            [
                Line("largest", "three", lines.lag_max_s),
                Line("p99", "two", lines.lag_p99_s),
                Line("p50", "one", lines.lag_p50_s),
            ],
            logarithmic=True,
        ),
        Panel(
            "Sessions a second, and clients without one",
            [
                Line("welcomed", "one", lines.connected_per_s),
                Line("ended", "two", lines.closed_per_s),
                Line("away", "three", lines.away),
            ],
        ),
    ]
    if rows:
        parts.append(
            Rows("Clients that had to do without", rows, (("away", 1.0), ("waiting", 0.5), ("wrong", 1.0)))
        )
    faults = [
        Span(
            fault.began,
            report.duration_s if fault.ended is None else fault.ended,
            fault.name,
            "slowfault" if fault.slow else "fault",
        )
        for fault in report.faults
    ]
    return plot(report.duration_s, lines.step_s, faults, report.phases, parts)
