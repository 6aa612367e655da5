"""What the command line may change of a benchmark's own numbers, and which benchmarks it makes sense for."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from tests.bench.frames import SIZE_MIN

# Longer ones do not fit into the buffers of the smallest peer.
SIZE_MAX = 32_000
# What a process has open beside the clients' sockets.
FILES_BESIDE = 500


class OptionError(Exception):
    """An option that cannot be used as it was; the message says why, and what can."""


@dataclass(frozen=True, slots=True)
class Options:
    """None leaves the benchmark's own number.

    Attributes:
        subscribers: how many clients.
        rate: publications per second.
        size: bytes of a publication's data.
        rounds: how many, after the warm-up.
    """

    subscribers: int | None = None
    rate: float | None = None
    size: int | None = None
    rounds: int | None = None

    def given(self) -> list[str]:
        """The names of those that are set."""
        return [name for name, value in asdict(self).items() if value is not None]

    @property
    def change_the_work(self) -> bool:
        """Whether what is measured is not what the bounds are about: more rounds alone leave it the same."""
        return bool(set(self.given()) - {"rounds"})

    def check(self, names: Sequence[str], takes: Mapping[str, frozenset[str]], files_max: int) -> None:
        """Refuse what would be ignored or cannot work.

        Args:
            names: the benchmarks that are to be run.
            takes: for each benchmark there is, the options it has.
            files_max: how many files a process may have open.

        Raises:
            OptionError: an option that one of the benchmarks does not have, or a number out of range.
        """
        for option in self.given():
            having = [name for name, has in takes.items() if option in has]
            without = [name for name in names if option not in takes[name]]
            if without:
                raise OptionError(
                    f"`{without[0]}` has no --{option}: name the benchmarks it is for, of {', '.join(having)}"
                )
        if self.size is not None and not SIZE_MIN <= self.size <= SIZE_MAX:
            raise OptionError(
                f"--size {self.size}: data has {SIZE_MIN} to {SIZE_MAX:,} bytes, its time included"
            )
        if self.rate is not None and not 0 < self.rate <= 100_000:
            raise OptionError(f"--rate {self.rate:g}: above 0, and at most 100,000 publications per second")
        if self.rounds is not None and self.rounds < 1:
            raise OptionError(f"--rounds {self.rounds}: at least one")
        if self.subscribers is not None and not 1 <= self.subscribers <= files_max:
            raise OptionError(
                f"--subscribers {self.subscribers:,}: from 1 to {files_max:,}, because a process may have no "
                "more files open here (ulimit -n)"
            )
