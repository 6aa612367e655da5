"""The view: who is in the cluster, as far as this coordinator has heard. Pure; every change is a new view.

It knows what nodes say of themselves, not what plans want of them: which instances are to leave is an
argument.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from protos.catalog_pb2 import NodeReport, NodeStep

# Last reports that are kept: of more nodes than go between two steps.
DEPARTED_MAX = 200


class Kind(Enum):
    """What a node serves: clients can move between nodes of a kind, and never to one of the other kind."""

    HTTP = "http"
    GRPC = "grpc"


@dataclass(frozen=True, slots=True)
class Member:
    """A node's newest report, and when it was heard (monotonic seconds of this process)."""

    report: NodeReport
    heard_at: float


@dataclass(frozen=True, slots=True)
class View:
    """What was heard; not to be changed by anyone.

    Attributes:
        members: the newest report of every node, by name.
        departed: by instance, the last reports of those that went lately: whether they went empty.
    """

    members: Mapping[str, Member] = field(default_factory=lambda: MappingProxyType({}))
    departed: Mapping[str, NodeReport] = field(default_factory=lambda: MappingProxyType({}))


def seen(view: View, report: NodeReport, now: float) -> View:
    """The view after a report was heard.

    Of the same instance only a higher number is news: a catalog that repeats what it holds after a lost
    connection does not make a silent node look alive.

    Args:
        view: as it was.
        report: what was heard; the view keeps it, it must not be changed any more.
        now: monotonic seconds.

    Returns:
        The new view; the same one if the report is old.
    """
    known = view.members.get(report.name)
    if known and known.report.instance == report.instance and report.number <= known.report.number:
        return view
    departed = view.departed
    if known and known.report.instance != report.instance:
        departed = _departed(view, known.report)
    return View(MappingProxyType({**view.members, report.name: Member(report, now)}), departed)


def gone(view: View, name: str) -> View:
    """The view after a node took its entry out or the catalog dropped it; unknown names change nothing."""
    if name not in view.members:
        return view
    left = {key: member for key, member in view.members.items() if key != name}
    return View(MappingProxyType(left), _departed(view, view.members[name].report))


def _departed(view: View, report: NodeReport) -> Mapping[str, NodeReport]:
    kept = list(view.departed.items())[1 - DEPARTED_MAX :]
    return MappingProxyType({**dict(kept), report.instance: report})


def living(view: View, now: float, ttl_s: float) -> list[NodeReport]:
    """The newest reports of the nodes that were heard less than `ttl_s` ago, by name."""
    return [member.report for _, member in sorted(view.members.items()) if now - member.heard_at < ttl_s]


def alive(view: View, name: str, now: float, ttl_s: float) -> NodeReport | None:
    """The newest report of one node if it was heard less than `ttl_s` ago."""
    member = view.members.get(name)
    return member.report if member and now - member.heard_at < ttl_s else None


def kind(report: NodeReport) -> Kind:
    """A node's port is for gRPC or for everything that goes over HTTP/1.1, and its addresses say which."""
    return Kind.GRPC if any(a.transport == Kind.GRPC.value for a in report.addresses) else Kind.HTTP


def kind_of(view: View, step: NodeStep) -> Kind | None:
    """The kind of a step's node, also if it went lately; None if nothing was heard of it."""
    member = view.members.get(step.node)
    if member and member.report.instance == step.instance:
        return kind(member.report)
    last = view.departed.get(step.instance)
    return kind(last) if last else None


def by_kind(reports: Iterable[NodeReport]) -> dict[Kind, list[NodeReport]]:
    """The reports of each kind, in their order; an empty list for a kind that is not there."""
    found: dict[Kind, list[NodeReport]] = {each: [] for each in Kind}
    for report in reports:
        found[kind(report)].append(report)
    return found


def receivers(
    view: View, now: float, ttl_s: float, leaving: Collection[str] = frozenset()
) -> list[NodeReport]:
    """The nodes that new sessions go to: alive, serving, and not about to leave; full ones are among them.

    Args:
        view: the cluster.
        now: monotonic seconds.
        ttl_s: see `living`.
        leaving: instances that were ordered to leave and may not have said so yet.
    """
    return [
        report
        for report in living(view, now, ttl_s)
        if report.state == NodeReport.SERVING and report.instance not in leaving
    ]
