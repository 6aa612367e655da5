"""`broadcast chaos`: break a cluster on purpose, and judge whether its promises hold."""

import argparse
import json
import shlex
import signal
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from deploy.chaos_screen import Lines, LiveScreen, summary
from deploy.errors import UserError
from node.config.durations import parse_duration

if TYPE_CHECKING:
    from chaos.runner import Outcome, Runner

_EPILOG = """\
Examples:
  broadcast chaos list                                 what there is
  broadcast chaos run node-crash                       a cluster of its own, about a minute
  broadcast chaos run mixed --seed 7 --duration 10m    whatever seed 7 chooses, for ten minutes
  broadcast chaos run my.yaml --ready-file ready.json  a file of yours, on a cluster that runs
  broadcast chaos run rollout --target kubernetes      on an installation of the chart, from a pod beside it

The same files run with the official Chaos Toolkit: chaos run FILE.
Exit codes: 0 every verdict is valid, 1 one is not, or nothing could be judged.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="list|run")
    listing = commands.add_parser("list", help="the experiments that come with the harness")
    listing.add_argument("--json", action="store_true", help="as JSON")
    run_parser = commands.add_parser("run", help="run one")
    run_parser.add_argument("experiment", metavar="NAME|FILE", help="see `chaos list`, or a YAML file")
    run_parser.add_argument("--seed", type=int, metavar="N", help="repeats a schedule (default: 1)")
    run_parser.add_argument(
        "--duration", type=_seconds, metavar="TIME", help="how long it lasts, start and end not counted"
    )
    run_parser.add_argument("--clients", type=int, metavar="N", help="how many")
    run_parser.add_argument("--deliveries", type=float, metavar="N", help="per second, all clients together")
    run_parser.add_argument("--nodes", type=int, metavar="N", help="how many")
    run_parser.add_argument("--grpc-nodes", type=int, metavar="N", help="how many more that serve gRPC")
    run_parser.add_argument("--nats-servers", type=int, metavar="N", help="how many")
    run_parser.add_argument(
        "--consul", action="store_true", default=None, help="keep the catalog in a Consul (default: in NATS)"
    )
    run_parser.add_argument(
        "--ready-file", metavar="FILE", help="of a running cluster, see `up --ready-file`"
    )
    run_parser.add_argument("--api-key", metavar="KEY", help="of that cluster's server API")
    run_parser.add_argument(
        "--target",
        choices=["local", "kubernetes"],
        help="where: on this machine (default), or the chart's installation that kubectl is set to",
    )
    run_parser.add_argument("--namespace", metavar="NAME", help="of the installation (default: kubectl's)")
    run_parser.add_argument(
        "--installation", metavar="NAME", help="its Deployment (default: broadcast-cluster)"
    )
    run_parser.add_argument("--report", metavar="DIR", help="where history and report go")
    run_parser.add_argument("--json", action="store_true", help="print the verdicts as JSON")
    parser.epilog = _EPILOG


def run(arguments: argparse.Namespace) -> int:
    """List, or run one and say what came of it."""
    return _list(arguments) if arguments.action == "list" else _run(arguments)


def _list(arguments: argparse.Namespace) -> int:
    from chaos.experiment import listed
    from chaos.targets.reach import targets

    experiments = listed()
    if arguments.json:
        print(json.dumps({name: one.title for name, one in experiments.items()}))
        return 0
    width = max(map(len, experiments))
    for name, one in experiments.items():
        print(f"{name:<{width}}  {' '.join(targets(one)):<16}  {one.title}")
    return 0


def _run(arguments: argparse.Namespace) -> int:
    from chaos.experiment import ExperimentError, path_of, read, settings_of
    from chaos.mixed import check
    from chaos.runner import Runner
    from chaos.targets.interface import Failed, Skipped
    from chaos.targets.reach import unfit
    from deploy.chaos_pod import in_pod, run_in_pod

    try:
        path = path_of(arguments.experiment)
        experiment = read(path)
        settings = settings_of(
            experiment.configuration,
            command=f"broadcast chaos {shlex.join(_without_key(sys.argv[2:], arguments.api_key))}",
            seed=arguments.seed,
            duration_s=arguments.duration,
            clients=arguments.clients,
            deliveries_per_s=arguments.deliveries,
            nodes=arguments.nodes,
            grpc_nodes=arguments.grpc_nodes,
            nats_servers=arguments.nats_servers,
            consul=arguments.consul,
            ready_file=arguments.ready_file,
            api_key=arguments.api_key,
            report=arguments.report,
            target=arguments.target,
            installation=arguments.installation,
        )
        check(experiment, settings)
    except ExperimentError as error:
        raise UserError(str(error)) from error
    if why := unfit(experiment, settings.target):
        raise UserError(f"{settings.name} cannot run on the target {settings.target}: {why}")
    if settings.target == "kubernetes" and not in_pod():
        options = sys.argv[3:]
        # It may stand anywhere among them.
        options.remove(arguments.experiment)
        return run_in_pod(path, settings, options, arguments.namespace or "")
    live = sys.stdout.isatty() and not arguments.json
    screen = LiveScreen(experiment.title) if live else Lines(sys.stderr if arguments.json else sys.stdout)
    try:
        with screen:
            outcome = trio.run(partial(_until_told, Runner(experiment, settings, screen.show)))
    except* (Skipped, Failed) as group:
        raise UserError(f"{_first(group)}") from group
    if arguments.json:
        print(json.dumps(_as_json(outcome)))
    else:
        print(summary(outcome))
    return 0 if outcome.state == "valid" else 1


def _without_key(typed: Sequence[str], key: str | None) -> list[str]:
    """What was typed, to be shown in a report, which others get to see."""
    if not key:
        return list(typed)
    return ["KEY" if each == key else each.replace(f"={key}", "=KEY") for each in typed]


async def _until_told(runner: "Runner") -> "Outcome":
    """Run it; SIGTERM and SIGHUP end it as Ctrl-C does, so that it can end its processes in order."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGHUP) as signals:
        async with trio.open_nursery() as nursery:

            async def obey() -> None:
                async for _ in signals:
                    raise KeyboardInterrupt

            nursery.start_soon(obey)
            outcome = await runner.run()
            nursery.cancel_scope.cancel()
    return outcome


def _as_json(outcome: "Outcome") -> dict[str, Any]:
    return {
        "state": outcome.state,
        "failed": outcome.failed,
        "report": str(outcome.report or ""),
        "directory": str(outcome.directory),
        "verdicts": [
            {"name": each.name, "state": each.state, "summary": each.summary, "measured": each.measured}
            for each in outcome.verdicts
        ],
    }


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    failure: BaseException = group
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure


def _seconds(text: str) -> float:
    try:
        return float(parse_duration(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
