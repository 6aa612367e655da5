"""What holds for all tests."""

# Keeps asyncio as it is now: before the coordinator's trio-asyncio is imported.
import tests.plain_asyncio  # noqa: F401
