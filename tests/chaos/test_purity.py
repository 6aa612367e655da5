"""The judge's pure half knows nothing of how things are done: no clock, no socket, no run."""

from collections.abc import Iterator

from tests.test_architecture import PACKAGES, check, covers, imports, modules

# What each may import of the project: what is judged, and how it is shown, does not know how it came about.
MAY_IMPORT = {
    "chaos.history": (),
    "chaos.generator": ("chaos.history",),
    "chaos.history_file": ("chaos.history",),
    "chaos.recorded": ("chaos.history", "chaos.history_file"),
    "chaos.lags": ("chaos.recorded",),
    "chaos.checkers": ("chaos.checkers", "chaos.history", "chaos.lags", "chaos.recorded"),
    "chaos.series": ("chaos.history", "chaos.lags", "chaos.recorded"),
    "chaos.plots": (),
    "chaos.report": (
        "chaos.checkers.verdict",
        "chaos.history",
        "chaos.plots",
        "chaos.recorded",
        "chaos.series",
    ),
}
# What makes an answer depend on more than what was asked. Chance is a schedule's affair, from a seed.
IMPURE = {"trio", "asyncio", "threading", "socket", "subprocess", "time", "datetime", "secrets", "structlog"}
MAY_USE_CHANCE = {"chaos.generator"}


def test_verdicts_schedules_and_reports_are_functions_of_what_they_are_given() -> None:
    """The same history gives the same verdict, the same seed the same schedule."""

    def problems() -> Iterator[str]:
        for module in modules("chaos"):
            for package in (name for name in MAY_IMPORT if module.within(name)):
                banned = IMPURE if package in MAY_USE_CHANCE else IMPURE | {"random"}
                for node, name in imports(module):
                    top = name.split(".")[0]
                    if top in banned:
                        yield f"{module.at(node)}: {package} is pure: what it needs of {top} is an argument"
                    if top in PACKAGES and not any(covers(allowed, name) for allowed in MAY_IMPORT[package]):
                        yield f"{module.at(node)}: {package} may not know of {name}"

    check(problems())


def test_every_pure_module_is_there() -> None:
    """A module that moved takes its rule with it."""
    names = {module.name for module in modules("chaos")}
    assert [name for name in MAY_IMPORT if name not in names] == []
