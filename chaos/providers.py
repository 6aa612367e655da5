"""Probes and actions of experiments, as Chaos Toolkit calls them: plain functions with plain arguments."""

import trio

from chaos.current import call
from chaos.mixed import Kinds, run_schedule, schedule
from chaos.rig import Rig

# --- probes ------------------------------------------------------------------------------------------


def everybody_is_served() -> bool:
    """Whether every client is subscribed and gets what is published. True when the run has ended in order."""

    async def act(rig: Rig) -> bool:
        return rig.phase in ("final", "idle") or await rig.steady()

    return call(act)


def promises_hold() -> str:
    """The verdict, `valid`, `unknown` or `invalid`.

    Before anything was broken there is nothing to judge: `valid`. Afterwards everything is healed, publishing
    ends, clients catch up, and the checkers judge the whole history.
    """

    async def act(rig: Rig) -> str:
        return "valid" if rig.phase == "load" else await rig.verdict()

    return call(act)


# --- actions -----------------------------------------------------------------------------------------


def load_for(share: float = 0.0, seconds: float = 0.0) -> None:
    """Let clients and publishers go on.

    Args:
        share: of the run's `duration_s`.
        seconds: on top.
    """

    async def act(rig: Rig) -> None:
        await trio.sleep(share * rig.settings.duration_s + seconds)

    call(act)


def inject(fault: str, target: str = "", optional: bool = False) -> str:
    """Bring a fault about, until it is healed; returns its full name.

    Args:
        fault: a name of chaos/faults/catalogue.py.
        target: what it hits; "" lets the seed choose.
        optional: whether the experiment is worth something on a cluster where this cannot be done.
    """

    async def act(rig: Rig) -> str:
        return await rig.inject(fault, target, optional=optional)

    return call(act)


def heal(fault: str = "") -> None:
    """Undo faults.

    Args:
        fault: the beginning of their names; "" undoes all.
    """

    async def act(rig: Rig) -> None:
        await rig.heal(fault)

    call(act)


def heal_everything() -> None:
    """Undo every fault, and let every part run that does not."""

    async def act(rig: Rig) -> None:
        await rig.heal_everything()

    call(act)


def every_node(fault: str, hold_share: float = 0.0) -> None:
    """The same fault on one node after another, healed before the next.

    Args:
        fault: see `inject`.
        hold_share: how long each stays in force, of the run's `duration_s`.
    """

    async def act(rig: Rig) -> None:
        for part in rig.target.parts("node"):
            name = await rig.inject(fault, part.name)
            await trio.sleep(hold_share * rig.settings.duration_s)
            await rig.heal(name)

    call(act)


def scale_out() -> str:
    """Start one more node; clients may go there from now on. Returns its name."""

    async def act(rig: Rig) -> str:
        rig.begin_faults()
        name = await rig.target.add_node()
        rig.note(f"{name} was added")
        await rig.nodes_changed()
        return name

    return call(act)


def rebalance(rate: float = 0.0) -> None:
    """Even out the load of the nodes, and wait for the end of that.

    Args:
        rate: clients a second at most; 0 for what nodes can take.
    """

    async def act(rig: Rig) -> None:
        await rig.rebalance(rate)

    call(act)


def add_coordinator() -> str:
    """Start one more coordinator, so that another one can lead. Returns its name."""

    async def act(rig: Rig) -> str:
        return await rig.target.add_coordinator()

    return call(act)


def mixed(kinds: Kinds, quiet: float = 0.25) -> None:
    """Whatever the seed chooses, one after another, for the run's `duration_s`, or some seconds longer.

    Args:
        kinds: by the fault's name, the fields of generator.FaultKind that differ from its defaults.
        quiet: see generator.faults.
    """

    async def act(rig: Rig) -> None:
        await run_schedule(rig, schedule(rig.settings, kinds, quiet))

    call(act)
