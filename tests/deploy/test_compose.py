"""compose.yaml and the files it mounts: names meet, times agree, and the program takes its config."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.cli import COMMANDS
from node.config.durations import parse_duration
from node.config.load import load
from node.config.schema import ENV_NAMES

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "compose"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OWN = [name for name, service in SERVICES.items() if service["image"].startswith("broadcast-cluster")]


def test_the_program_takes_its_config() -> None:
    """Servers are called what compose calls them."""
    config = load(FOLDER / "node.yaml", {})
    for url in (config.broker.nats.url, config.catalog.consul.url):
        assert url.split("/")[2].split(":")[0] in SERVICES


@pytest.mark.parametrize("name", OWN)
def test_stopping_leaves_time_to_drain(name: str) -> None:
    """`docker compose stop` sends SIGKILL only after the node's own deadline."""
    timeout = load(FOLDER / "node.yaml", {}).shutdown.timeout
    assert parse_duration(SERVICES[name]["stop_grace_period"]) >= timeout + 5


@pytest.mark.parametrize("name", OWN)
def test_the_program_is_confined_and_started_as_it_wants(name: str) -> None:
    """No rights, no writing, a command that exists, variables that are options."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["command"][0] in COMMANDS
    assert service["environment"].keys() <= ENV_NAMES.keys()


def test_files_it_mounts_exist() -> None:
    """A missing file would be made as an empty directory, and be hard to understand."""
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (FOLDER / source).is_file(), source


def test_images_have_versions() -> None:
    """What is started tomorrow is what was tried today."""
    assert all(re.search(r":v?\d+\.\d+\.\d+", service["image"]) for service in SERVICES.values())


def test_only_this_machine_reaches_it() -> None:
    """Published ports are of the loopback, and no two are the same."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert len({port.split(":")[1] for port in ports}) == len(ports)


def test_everything_is_scraped() -> None:
    """Prometheus asks every node and the coordinator."""
    jobs = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())["scrape_configs"]
    asked = {
        target.split(":")[0] for job in jobs for each in job["static_configs"] for target in each["targets"]
    }
    assert asked == set(OWN)
