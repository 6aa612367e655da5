"""What a client tells of itself, as events that tests wait for."""

import threading
from typing import Any

from tests.patience import PATIENCE_S

Event = dict[str, Any]


class Failed(Exception):
    """A client refused a command, with the code it gave."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class Events:
    """Events of one client, from whatever thread; a test takes them out one by one."""

    def __init__(self) -> None:
        self._left: list[Event] = []
        self._taken: list[Event] = []
        self._news = threading.Condition()

    def tell(self, event: str, **fields: Any) -> None:
        """Something happened."""
        with self._news:
            self._left.append({"event": event, **fields})
            self._news.notify_all()

    def expect(self, event: str, **fields: Any) -> Event:
        """The first event of that name and with those fields, as soon as there is one; others stay."""

        def find() -> Event | None:
            return next((seen for seen in self._left if wanted.items() <= seen.items()), None)

        wanted = {"event": event, **fields}
        with self._news:
            found = self._news.wait_for(find, PATIENCE_S)
            assert found is not None, f"{wanted} did not come; before: {self._taken}; left: {self._left}"
            self._left.remove(found)
            self._taken.append(found)
            return found

    def left(self, *names: str) -> list[Event]:
        """What happened of that kind and nobody took."""
        with self._news:
            return [seen for seen in self._left if seen["event"] in names]

    def received(self, channel: str, last: Any) -> list[Any]:
        """What publications of a channel carry, in the order of their coming, up to the one with `last`."""
        data = []
        while last not in data:
            data.append(self.expect("publication", channel=channel)["data"])
        return data
