"""The connection of nats-py: how it logs in, and that it keeps to TLS where that was wanted."""

import asyncio
import gc
import socket
from pathlib import Path

import pytest
import trio
import trio.testing
import trio_asyncio
import trustme
from structlog.testing import capture_logs

from coordinator.catalog.access import NatsAccess, TlsFiles
from coordinator.catalog.interface import CatalogUnavailable
from coordinator.catalog.nats_link import connect, open_loop
from tests.nats_server import NatsServer
from tests.patience import PATIENCE_S

LOGIN = 'authorization { user: "ann", password: "a/b@c" }'
SEED = "SUAMQ6MRD3OIIIAA6GEVQ4TYKVEGOEDLNEJ3NMS7PLKSH2FSFKSGMFWWRM"


async def greet(access: NatsAccess) -> bytes:
    """Connect, and ask something of JetStream."""
    failure: CatalogUnavailable
    with trio.fail_after(PATIENCE_S):
        async with trio_asyncio.open_loop() as loop:
            try:
                link = await connect(loop, access, "test")
            except CatalogUnavailable as error:
                failure = error  # the loop would wrap it
            else:
                try:
                    return await link.api("INFO")
                finally:
                    await link.close()
    raise failure


@pytest.mark.parametrize(
    "login",
    [{"user": "ann", "password": "a/b@c"}, {}],
    ids=["options", "url"],
)
async def test_logins(login: dict[str, str]) -> None:
    """User and password are taken from the options, or from the URL with its percent signs undone."""
    with NatsServer(LOGIN) as server:
        url = server.url if login else server.url.replace("//", "//ann:a%2Fb%40c@")
        assert b"memory" in await greet(NatsAccess(url=url, **login))


async def test_tokens() -> None:
    """A token is taken from the options, or from the URL."""
    with NatsServer('authorization { token: "se:cret" }') as server:
        assert await greet(NatsAccess(url=server.url, token="se:cret"))
        assert await greet(NatsAccess(url=server.url.replace("//", "//se%3Acret@")))


async def test_what_fails_when_nobody_waits_for_it_harms_nobody() -> None:
    """In a cluster that starts, names are not known yet, and to be told so can take longer than one waits."""

    async def look_up() -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def leave_behind() -> None:
        abandoned = asyncio.ensure_future(look_up())
        await asyncio.wait([abandoned])

    with trio.fail_after(PATIENCE_S), capture_logs() as logs:
        async with open_loop() as loop:
            await loop.run_aio_coroutine(leave_behind())
            gc.collect()
            await trio.testing.wait_all_tasks_blocked()
    assert [(each["log_level"], each["reason"]) for each in logs] == [
        ("info", "[Errno -2] Name or service not known")
    ]


async def test_a_wrong_login_is_said() -> None:
    """Who is refused hears that it was the login, and the message does not show it."""
    with NatsServer(LOGIN) as server:
        with pytest.raises(CatalogUnavailable, match=r"(?i)authorization") as caught:
            await greet(NatsAccess(url=server.url, user="ann", password="wrong"))
        assert "wrong" not in str(caught.value)


async def test_nobody_listens() -> None:
    """An address where nothing is fails soon, and says why."""
    with pytest.raises(CatalogUnavailable, match="cannot connect to NATS"):
        await greet(NatsAccess(url="nats://127.0.0.1:1"))


async def test_files_that_are_missing() -> None:
    """A file of credentials that is not there is said, and tried again later."""
    with pytest.raises(CatalogUnavailable, match="absent"):
        await greet(NatsAccess(credentials_file="absent"))


async def test_tls(tmp_path: Path) -> None:
    """The certificate is verified by the authority of the options."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = f'tls {{ cert_file: "{tmp_path / "cert.pem"}", key_file: "{tmp_path / "key.pem"}" }}'
    with NatsServer(tls) as server:
        assert await greet(
            NatsAccess(url=server.url, tls=TlsFiles(enabled=True, ca_file=str(tmp_path / "ca.pem")))
        )
        with pytest.raises(CatalogUnavailable, match=r"(?i)certificate"):
            await greet(NatsAccess(url=server.url, tls=TlsFiles(enabled=True)))


async def test_tls_that_is_not_offered() -> None:
    """Where TLS is demanded nothing is said to a server without it, least of all a password."""
    with NatsServer() as server:
        with pytest.raises(CatalogUnavailable):
            await greet(NatsAccess(url=server.url, tls=TlsFiles(enabled=True)))
        assert not server.monitor("/connz?state=any")["connections"][0].get("account_user")
