"""Relations between settings, within and outside of namespaces."""

from pathlib import Path
from typing import Any

import pytest

from node.config.errors import InvalidConfig
from node.config.load import load
from node.config.relations import RELATIONS
from node.config.schema import OPTIONS

NEWS = {"name": "news", "history_size": 10, "history_ttl": 60}


@pytest.mark.parametrize(
    ("overrides", "path"),
    [
        ({"client.pong_timeout": 25}, "client.pong_timeout"),
        ({"client.channel_limit": 0}, "client.channel_limit"),
        ({"client.connection_limit": -1}, "client.connection_limit"),
        ({"shutdown.timeout": 0}, "shutdown.timeout"),
        ({"http_server.port": 65536}, "http_server.port"),
        ({"http_server.port": -1}, "http_server.port"),
        ({"http_server.tls.enabled": True}, "http_server.tls.enabled"),
        ({"http_server.tls.cert_pem": "/absent/cert.pem"}, "http_server.tls.cert_pem"),
        ({"http_server.tls.client_ca_pem": __file__}, "http_server.tls.client_ca_pem"),
        ({"http_server.http3.enabled": True}, "http_server.http3.enabled"),
        (
            {
                "http_server.http3.enabled": True,
                "http_server.tls.enabled": True,
                "http_server.tls.cert_pem": __file__,
                "http_server.tls.key_pem": __file__,
                "http_server.tls.client_ca_pem": __file__,
            },
            "http_server.http3.enabled",
        ),
        ({"http_server.http3.announced_port": 65536}, "http_server.http3.announced_port"),
        ({"history.check_batch": 1001}, "history.check_batch"),
        ({"broker.nats.stream_replicas": 6}, "broker.nats.stream_replicas"),
        ({"broker.nats.stream_backups": ("us",)}, "broker.nats.stream_backups"),
        (
            {"broker.nats.stream_backups": ("us",), "broker.nats.stream_cluster": "us"},
            "broker.nats.stream_backups",
        ),
        ({"broker.nats.prefix": "a.b"}, "broker.nats.prefix"),
        ({"broker.nats.url": "http://127.0.0.1:4222"}, "broker.nats.url"),
        ({"broker.nats.url": "nats://a:1,,nats://b:1"}, "broker.nats.url"),
        ({"broker.nats.url": "nats://h:99999"}, "broker.nats.url"),
        ({"broker.nats.url": "nats://u:p/w@h"}, "broker.nats.url"),
        ({"broker.nats.tls.cert_file": __file__}, "broker.nats.tls.cert_file"),
        ({"broker.nats.tls.ca_file": "/absent/ca.pem"}, "broker.nats.tls.ca_file"),
        ({"broker.nats.credentials_file": "/absent"}, "broker.nats.credentials_file"),
        ({"broker.nats.user": "a", "broker.nats.token": "b"}, "broker.nats.user"),
        ({"client.token.hmac_secret_key": "-----BEGIN PUBLIC KEY-----"}, "client.token.hmac_secret_key"),
        ({"client.token.hmac_previous_secret_key": "x"}, "client.token.hmac_previous_secret_key"),
        ({"client.connection_rate_limit": -1}, "client.connection_rate_limit"),
        ({"drain.rate": 0}, "drain.rate"),
        ({"node.public_url": "node-1:8000"}, "node.public_url"),
        ({"node.public_url": "https://a b"}, "node.public_url"),
        ({"http_api.key": "clé"}, "http_api.key"),
        ({"client.allowed_origins": ["https://a/b"]}, "client.allowed_origins"),
        ({"channel.private_prefix": ":"}, "channel.namespace_boundary"),
        ({"channel.user_separator": ""}, "channel.namespace_boundary"),
        ({"channel.namespaces": [NEWS, NEWS]}, "channel.namespaces"),
        ({"channel.namespaces": [{"name": "n"}]}, "channel.namespaces[0].name"),
        ({"channel.namespaces": [{"name": "news\n"}]}, "channel.namespaces[0].name"),
        ({"channel.without_namespace.history_size": 1}, "channel.without_namespace.history_size"),
        ({"channel.without_namespace.history_ttl": 1}, "channel.without_namespace.history_size"),
        ({"channel.namespaces": [NEWS | {"history_meta_ttl": 30}]}, "channel.namespaces[0].history_ttl"),
        (
            {"channel.namespaces": [NEWS | {"history_meta_ttl": 200}]},
            "channel.namespaces[0].history_meta_ttl",
        ),
        ({"channel.namespaces": [NEWS], "channel.history_meta_ttl": 30}, "channel.namespaces[0].history_ttl"),
        (
            {"channel.namespaces": [NEWS | {"history_partitions": 0}]},
            "channel.namespaces[0].history_partitions",
        ),
        ({"channel.without_namespace.force_recovery": True}, "channel.without_namespace.force_recovery"),
        ({"channel.without_namespace.allow_recovery": True}, "channel.without_namespace.allow_recovery"),
        ({"channel.without_namespace.channel_regex": "("}, "channel.without_namespace.channel_regex"),
    ],
)
def test_what_does_not_hold_is_refused(overrides: dict[str, Any], path: str) -> None:
    """Each row of the tables has a configuration that breaks it, and is blamed on the right option."""
    with pytest.raises(InvalidConfig) as caught:
        load(None, {}, overrides)
    assert path in [problem.path for problem in caught.value.problems]
    assert all("{" not in problem.text for problem in caught.value.problems)


@pytest.mark.parametrize(
    "overrides",
    [
        {"channel.namespaces": [NEWS | {"history_meta_ttl": 300}]},
        {"channel.namespaces": [NEWS | {"force_recovery": True, "force_positioning": True}]},
        # Nothing is stored, so how long it would be does not matter.
        {"channel.history_meta_ttl": 10},
        {"http_server.port": 0, "client.pong_timeout": 0, "client.connection_limit": 0},
        {"broker.nats.url": "nats://user:word@a:4222, tls://b:4222"},
        {"broker.nats.tls.cert_file": __file__, "broker.nats.tls.key_file": __file__},
        {
            "client.allowed_origins": [
                "*",
                "null",
                "https://*.example.com",
                "http://localhost:*",
                "http://[::1]:80",
            ]
        },
        {"channel.without_namespace.channel_regex": "^[a-z]+$"},
        {"node.public_url": "https://node-1.example:8443/live/"},
        {"node.public_url": "http://[::1]:8000"},
        {"drain.arrivals_quiet_s": 0, "drain.arrivals_wait_max_s": 0},
        {"client.token.hmac_secret_key": "new", "client.token.hmac_previous_secret_key": "old"},
    ],
)
def test_what_holds_is_accepted(overrides: dict[str, Any]) -> None:
    """Limits are inclusive where they say so, and rows look only at what is in use."""
    load(None, {}, overrides)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """A directory where a certificate should be is found at the start, not at the first reconnect."""
    with pytest.raises(InvalidConfig, match="does not exist or cannot be read"):
        load(None, {}, {"broker.nats.nkey_seed_file": str(tmp_path)})


def test_every_row_speaks_of_options_that_exist() -> None:
    """A renamed option cannot leave a row behind."""
    assert {path for row in RELATIONS for path in row.paths} <= OPTIONS.keys()
