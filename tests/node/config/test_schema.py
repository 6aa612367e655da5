"""The options as a map of dotted paths."""

from node.config.schema import ENV_NAMES, OPTIONS, SECRETS


def test_environment_names_are_unique() -> None:
    """No two options share a variable, although dots and underscores both become underscores."""
    assert len(ENV_NAMES) == len(OPTIONS)


def test_every_option_that_sounds_secret_is_one() -> None:
    """A new key or password cannot be forgotten in the list of what is never shown."""
    sounding = {
        path
        for path in OPTIONS
        if path.rpartition(".")[2].rpartition("_")[2] in {"key", "password", "token"} and OPTIONS[path] is str
    }
    assert sounding <= SECRETS
    assert OPTIONS.keys() >= SECRETS
