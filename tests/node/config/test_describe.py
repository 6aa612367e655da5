"""Showing the settings in force."""

from pathlib import Path

import yaml

from node.config.describe import describe, in_effect
from node.config.load import load
from node.config.options import Config

SECRETS = {
    "client.token.hmac_secret_key": "sesame-1",
    "client.token.hmac_previous_secret_key": "sesame-2",
    "http_api.key": "sesame-3",
    "broker.nats.password": "sesame-4",
    "broker.nats.user": "edge",
    "broker.nats.url": "nats://edge:sesame-5@a:4222,nats://sesame-6@b:4222",
}

KEPT_AN_HOUR = {"name": "n2", "history_meta_ttl": "1h"}


def test_secrets_are_never_shown() -> None:
    """Whether a key is set can be seen, the key cannot; addresses lose only their login."""
    shown = describe(load(None, {}, SECRETS))
    assert "sesame" not in shown
    assert "hmac_secret_key: (hidden)" in shown
    assert "url: nats://(hidden)@a:4222,nats://(hidden)@b:4222" in shown


def test_a_namespace_shows_how_long_the_store_keeps() -> None:
    """A namespace that leaves it to the common option shows that one's value, not the 0 that refers to it."""
    given = {"channel.history_meta_ttl": "9h", "channel.namespaces": [{"name": "n1"}, KEPT_AN_HOUR]}
    channel = yaml.safe_load(describe(load(None, {}, given)))["channel"]
    assert channel["without_namespace"]["history_meta_ttl"] == "9h"
    assert [each["history_meta_ttl"] for each in channel["namespaces"]] == ["9h", "1h"]


def test_what_is_shown_can_be_loaded(tmp_path: Path) -> None:
    """The output is a complete configuration file, and means the same."""
    namespaces = [{"name": "news", "history_size": 1, "history_ttl": "90s", "channel_regex": "^a: [b]"}]
    config = load(None, {}, {"channel.namespaces": namespaces, "client.allowed_origins": ["*"]})
    path = tmp_path / "shown.yaml"
    for each in (config, Config()):
        path.write_text(describe(each))
        assert in_effect(load(path, {})) == in_effect(each)
