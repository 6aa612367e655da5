"""Relations between the settings of the catalog and of the coordinator."""

from typing import Any

import pytest

from node.config.catalog_relations import CATALOG_RELATIONS
from node.config.errors import InvalidConfig
from node.config.load import load
from node.config.schema import OPTIONS

CONSUL = "catalog.consul"


@pytest.mark.parametrize(
    ("overrides", "path"),
    [
        ({"catalog.report_interval_s": 0}, "catalog.report_interval_s"),
        ({"catalog.report_interval_s": 5}, "catalog.report_interval_s"),
        ({f"{CONSUL}.url": "127.0.0.1:8500"}, f"{CONSUL}.url"),
        ({f"{CONSUL}.url": "nats://127.0.0.1:8500"}, f"{CONSUL}.url"),
        ({f"{CONSUL}.url": "http://token@127.0.0.1:8500"}, f"{CONSUL}.url"),
        ({f"{CONSUL}.url": "http://127.0.0.1:8500/v1"}, f"{CONSUL}.url"),
        ({f"{CONSUL}.url": "http://127.0.0.1:85000"}, f"{CONSUL}.url"),
        ({f"{CONSUL}.cert_file": __file__}, f"{CONSUL}.cert_file"),
        ({f"{CONSUL}.ca_file": "absent.pem"}, f"{CONSUL}.ca_file"),
        ({f"{CONSUL}.service": "a b"}, f"{CONSUL}.service"),
        ({f"{CONSUL}.prefix": "/broadcast"}, f"{CONSUL}.prefix"),
        ({f"{CONSUL}.prefix": ""}, f"{CONSUL}.prefix"),
        ({"coordinator.port": 65536}, "coordinator.port"),
        ({"coordinator.grpc_port": -1}, "coordinator.grpc_port"),
        ({"coordinator.tls.enabled": True}, "coordinator.tls.enabled"),
        (
            {"coordinator.tls.enabled": True, "coordinator.tls.cert_pem": "c.pem"},
            "coordinator.tls.enabled",
        ),
        ({"coordinator.tls.client_ca_pem": "ca.pem"}, "coordinator.tls.client_ca_pem"),
        ({"coordinator.tick_s": 0}, "coordinator.tick_s"),
        ({"coordinator.plans_kept": -1}, "coordinator.plans_kept"),
        ({"coordinator.connect_share": 0}, "coordinator.connect_share"),
        ({"coordinator.connect_share": 1.1}, "coordinator.connect_share"),
    ],
)
def test_what_does_not_hold_is_refused(overrides: dict[str, Any], path: str) -> None:
    """Each row has a configuration that breaks it, and is blamed on the right option."""
    with pytest.raises(InvalidConfig) as caught:
        load(None, {}, overrides)
    assert path in [problem.path for problem in caught.value.problems]
    assert all("{" not in problem.text for problem in caught.value.problems)


@pytest.mark.parametrize(
    "overrides",
    [
        {f"{CONSUL}.url": "https://consul.example.com:8501/"},
        {f"{CONSUL}.url": "http://[::1]:8500", f"{CONSUL}.prefix": "apps/broadcast"},
        {f"{CONSUL}.cert_file": __file__, f"{CONSUL}.key_file": __file__},
        # The files are the coordinator's; a node with the same settings has none of them.
        {
            "coordinator.tls.enabled": True,
            "coordinator.tls.cert_pem": "absent.pem",
            "coordinator.tls.key_pem": "absent.pem",
            "coordinator.tls.client_ca_pem": "absent.pem",
        },
        {"coordinator.port": 0, "coordinator.plans_kept": 0, "coordinator.connect_share": 1},
    ],
)
def test_what_holds_is_accepted(overrides: dict[str, Any]) -> None:
    """Limits are inclusive where they say so."""
    load(None, {}, overrides)


def test_every_row_speaks_of_options_that_exist() -> None:
    """A renamed option cannot leave a row behind."""
    assert {path for row in CATALOG_RELATIONS for path in row.paths} <= OPTIONS.keys()
