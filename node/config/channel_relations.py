"""What must hold between the options of a namespace, one row each.

A row's text is a format string over `o` (the options at hand), `c` (the Config) and `meta_ttl_s` (how
long positions of these channels stay meaningful). Predicates are pure.
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from node.config import patterns
from node.config.options import ChannelOptions, ChannelsOptions, Config, Namespace
from node.config.schema import join


class Broken(NamedTuple):
    """A relation that does not hold.

    Attributes:
        paths: dotted paths it speaks of; the first is blamed.
        text: what is wrong and what to do.
    """

    paths: tuple[str, ...]
    text: str


class ChannelRelation(NamedTuple):
    """A row that is checked for channels without a namespace and for every namespace.

    Attributes:
        names: options of the namespace it speaks of; the first is blamed.
        others: dotted paths of options elsewhere it speaks of.
        holds: whether it does.
        text: what is wrong and what to do.
    """

    names: tuple[str, ...]
    others: tuple[str, ...]
    holds: Callable[[ChannelOptions, Config], bool]
    text: str


def history_meta_ttl_s(options: ChannelOptions, channel: ChannelsOptions) -> float:
    """How long positions of these channels stay meaningful, seconds: their own setting or the common one."""
    return options.history_meta_ttl or channel.history_meta_ttl


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return False
    return True


_HISTORY = ("history_size", "history_ttl")
CHANNEL_RELATIONS: tuple[ChannelRelation, ...] = (
    ChannelRelation(
        ("name",),
        (),
        lambda o, _c: not isinstance(o, Namespace) or patterns.NAMESPACE_NAME.fullmatch(o.name) is not None,
        "is not a namespace's name; use two or more of letters, digits, `-`, `_` and `.`",
    ),
    ChannelRelation(
        ("history_size",), (), lambda o, _c: o.history_size >= 0, "is {o.history_size}; give 0 or more"
    ),
    ChannelRelation(
        _HISTORY,
        (),
        lambda o, _c: (o.history_size > 0) == (o.history_ttl > 0),
        "is {o.history_size} while history_ttl is {o.history_ttl:g} s; set both above 0 to keep history, "
        "or neither",
    ),
    ChannelRelation(
        ("history_ttl", "history_meta_ttl"),
        ("channel.history_meta_ttl",),
        lambda o, c: history_meta_ttl_s(o, c.channel) >= o.history_ttl,
        "is {o.history_ttl:g} s and must not exceed history_meta_ttl ({meta_ttl_s:g} s); raise that "
        "(here, or channel.history_meta_ttl for all)",
    ),
    ChannelRelation(
        ("history_meta_ttl",),
        ("broker.nats.duplicate_window", "channel.history_meta_ttl"),
        lambda o, c: (
            not o.keeps_history or c.broker.nats.duplicate_window <= history_meta_ttl_s(o, c.channel)
        ),
        "is {meta_ttl_s:g} s and must not be below broker.nats.duplicate_window "
        "({c.broker.nats.duplicate_window:g} s); raise this or lower that",
    ),
    ChannelRelation(
        ("history_partitions",),
        (),
        lambda o, _c: 1 <= o.history_partitions <= 256,
        "is {o.history_partitions}; give 1 to 256",
    ),
    *(
        ChannelRelation(
            (name, *_HISTORY),
            (),
            lambda o, _c, name=name: not getattr(o, name) or o.keeps_history,  # type: ignore[misc]
            "needs history; set history_size and history_ttl above 0 too",
        )
        for name in ("force_recovery", "allow_recovery", "force_positioning", "allow_positioning")
    ),
    ChannelRelation(
        ("channel_regex",),
        (),
        lambda o, _c: _compiles(o.channel_regex),
        "is not a regular expression of Python",
    ),
)


def broken_channels(section: str, options: ChannelOptions, config: Config) -> Iterator[Broken]:
    """Every relation that does not hold for one namespace.

    Args:
        section: its dotted path.
        options: its options.
        config: they are part of.
    """
    for row in CHANNEL_RELATIONS:
        if not row.holds(options, config):
            text = row.text.format(
                o=options, c=config, meta_ttl_s=history_meta_ttl_s(options, config.channel)
            )
            yield Broken((*(join(section, name) for name in row.names), *row.others), text)
