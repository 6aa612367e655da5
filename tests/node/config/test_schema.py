"""The options as a map of dotted paths."""

import pytest

from node.config.schema import COMMAND_VARIABLES, ENV_NAMES, OPTIONS, SECRETS, unknown_path, unknown_variable


def test_environment_names_are_unique() -> None:
    """No two options share a variable, although dots and underscores both become underscores."""
    assert len(ENV_NAMES) == len(OPTIONS)
    assert not COMMAND_VARIABLES & ENV_NAMES.keys()


def test_every_option_that_sounds_secret_is_one() -> None:
    """A new key or password cannot be forgotten in the list of what is never shown."""
    sounding = {
        path
        for path in OPTIONS
        if path.rpartition(".")[2].rpartition("_")[2] in {"key", "password", "token"} and OPTIONS[path] is str
    }
    assert sounding <= SECRETS
    assert OPTIONS.keys() >= SECRETS


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("NATS_URL", "BROKER_NATS_URL"),
        ("HMAC_SECRET_KEY", "CLIENT_TOKEN_HMAC_SECRET_KEY"),
        ("COORDINATOR_CAFILE", "COORDINATOR_CA_FILE"),
        ("FOO", ""),
    ],
)
def test_only_a_name_that_is_like_one_is_suggested(name: str, meant: str) -> None:
    """A near miss is told the name it meant; what is like nothing is told how names are made."""
    text = unknown_variable(f"BROADCAST_{name}")
    assert (f"did you mean BROADCAST_{meant}?" if meant else "named after its option's path") in text
    assert ("did you mean" in text) == bool(meant)
    assert "did you mean" not in unknown_path("foo")
    assert "did you mean `log.level`?" in unknown_path("log.levl")
