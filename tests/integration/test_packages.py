"""The packages of the clients nobody here wrote."""

from tests.integration.javascript import FOLDER


def test_lock_files_name_no_registry() -> None:
    """Packages come from whatever registry the machine uses: the lock says which, not where from."""
    lock = (FOLDER / "package-lock.json").read_text()
    assert '"resolved"' not in lock, "keep omit-lockfile-registry-resolved in .npmrc and make the lock again"
