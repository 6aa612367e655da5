"""A listener that writes down what dialogs tell it."""

from typing import Any


class Heard:
    """See chaos.workload.dialog.Listener."""

    def __init__(self) -> None:
        self.facts: list[tuple[Any, ...]] = []

    def welcomed(self) -> None:
        self.facts.append(("welcomed",))

    def subscribed(self, channel: str, epoch: str, offset: int, recovered: bool | None) -> None:
        self.facts.append(("subscribed", channel, epoch, offset, recovered))

    def unsubscribed(self, channel: str, code: int) -> None:
        self.facts.append(("unsubscribed", channel, code))

    def refused(self, channel: str, code: int, reason: str) -> None:
        self.facts.append(("refused", channel, code, reason))

    def delivered(self, channel: str, publication: str, offset: int) -> None:
        self.facts.append(("delivered", channel, publication, offset))
