"""What holds for all tests."""

import os
import signal

import hypothesis
import pytest

# Whoever has spoken gRPC has threads of it, which would be started again in every child that is forked, and
# end it with SIGABRT before it has become another program.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"

# Keeps asyncio as it is now: before the coordinator's trio-asyncio is imported.
import tests.plain_asyncio  # noqa: F401

# Who starts the suite in the background has it ignore SIGINT, and with it all the programs that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# So that their assertions show values, as those of test modules do; before anybody imports them.
pytest.register_assert_rewrite("tests.integration.events", "tests.integration.sdk_contract")

# A machine that stands still for a moment says nothing about the code under test.
hypothesis.settings.register_profile(
    "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("patient")
