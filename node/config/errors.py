"""What goes wrong when a configuration is read.

ConfigError             the root; never raised itself
├── ConfigFileError     the file cannot be read, or is not YAML or JSON
└── InvalidConfig       settings that do not exist, have the wrong type, or contradict each other
"""

from collections.abc import Sequence
from typing import NamedTuple


class ConfigError(Exception):
    """Root of everything that loading a configuration raises."""


class ConfigFileError(ConfigError):
    """The file as a whole is unusable; the message says where and what to do."""


class Problem(NamedTuple):
    """One thing that is wrong, for a person who wants to put it right.

    Attributes:
        source: the file's name, the environment variable or the command-line option; several where a
            contradiction has several origins.
        path: the dotted path of the option.
        text: what is wrong and what to do.
    """

    source: str
    path: str
    text: str

    def __str__(self) -> str:
        """One line of the error message."""
        return f"{self.source}: {self.path}: {self.text}" if self.path else f"{self.source}: {self.text}"


class InvalidConfig(ConfigError):
    """Everything that is wrong with the settings, all at once.

    Args:
        problems: at least one.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)
