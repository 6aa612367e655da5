"""A node with one defect, made on purpose: `python -m tests.integration.chaos.broken_node DEFECT node ...`.

The product has no switches for this. A defect replaces one decision of the node in this process only; then
the command line goes on as always.
"""

import sys
from collections.abc import Callable

from deploy.cli import main
from node.arrivals import Arrivals
from node.broker.interface import Live
from node.drain import Drain
from node.history import chain, joining
from node.history.chain import Step
from node.history.channel import Channel
from node.hub import Hub
from node.protocol.messages import Publication

# Of so many publications that pass one is treated wrongly, and so many in all: what a client lacks at the end
# would have to be waited for.
EVERY = 50
TIMES = 5


def lose_without_repair() -> None:
    """Some live copies get lost, and the holes that they leave are taken for none."""
    deliver, step_of = Channel.deliver, chain.step_of
    due = _one_of_a_few()

    def lossy(channel: Channel, live: Live) -> None:
        if not (live.offset and due()):
            deliver(channel, live)

    def careless(head: int, seen: int, offset: int, previous: int) -> Step:
        step = step_of(head, seen, offset, previous)
        return step if step is Step.DUPLICATE else Step.NEXT

    Channel.deliver = lossy
    chain.step_of = careless


def claim_recovered() -> None:
    """Whoever comes back is told that it has all, and the first that it missed is left out."""
    answer = joining.answer

    def boastful(*question: object) -> object:
        missed = answer(*question)
        return missed[1:] if isinstance(missed, list) else missed

    joining.answer = boastful


def deliver_twice() -> None:
    """Some publications go out twice."""
    publish = Hub.publish
    due = _one_of_a_few()

    def stuttering(hub: Hub, channel: str, publication: Publication, source: str = "live") -> None:
        publish(hub, channel, publication, source)
        if due():
            publish(hub, channel, publication, source)

    Hub.publish = stuttering


def swap() -> None:
    """Some publications wait, and go out behind the next one of their channel."""
    publish = Hub.publish
    due = _one_of_a_few()
    held: dict[str, Publication] = {}

    def shuffling(hub: Hub, channel: str, publication: Publication, source: str = "live") -> None:
        before = held.pop(channel, None)
        if before is None and due():
            held[channel] = publication
            return
        publish(hub, channel, publication, source)
        if before is not None:
            publish(hub, channel, before, source)

    Hub.publish = shuffling


def ignore_the_pace() -> None:
    """A node that leaves sends all its clients away at once, and the others let in whoever comes."""
    refusal = Arrivals.refusal

    def open_to_all(arrivals: Arrivals) -> str:
        arrivals._bucket = None
        return refusal(arrivals)

    Drain._pace = lambda _drain, _sessions, _now: 1e6
    Arrivals.refusal = open_to_all


def ignore_orders() -> None:
    """A node does nothing that it is ordered to, and says nothing of it."""
    Drain.obey = lambda _drain, _order, _now: ""


def _one_of_a_few() -> Callable[[], bool]:
    passed = 0

    def due() -> bool:
        nonlocal passed
        passed += 1
        return passed % EVERY == 0 and passed <= EVERY * TIMES

    return due


DEFECTS: dict[str, Callable[[], None]] = {
    defect.__name__: defect
    for defect in (lose_without_repair, claim_recovered, deliver_twice, swap, ignore_the_pace, ignore_orders)
}

if __name__ == "__main__":
    DEFECTS[sys.argv[1]]()
    sys.exit(main(sys.argv[2:]))
