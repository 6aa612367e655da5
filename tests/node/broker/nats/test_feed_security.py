"""The feed against real nats-servers that want to know who we are: every kind of credentials, and TLS."""

import base64
import json
from pathlib import Path

import nkeys
import structlog
import trio
import trustme

from node.config.options import NatsOptions, NatsTlsOptions
from tests.nats_server import NatsServer
from tests.node.broker.nats.feeds import nats_options, running
from tests.patience import PATIENCE_S


async def gets_in(options: NatsOptions) -> None:
    """Connect and have one round trip."""
    async with running(options) as watched:
        await watched.feed.wait_connected(PATIENCE_S)
        await watched.feed.flush(PATIENCE_S)


async def is_refused(options: NatsOptions, *says: str) -> None:
    """Do not get in, and log why, without the secret."""
    with structlog.testing.capture_logs() as logs:
        async with running(options) as watched:
            while not logs:  # noqa: ASYNC110 - a log line sets no event
                await trio.sleep(0.005)
            assert watched.calls == []
    assert logs[0]["event"] == "feed cannot connect"
    for part in says:
        assert part in logs[0]["reason"]
    assert "wrong" not in str(logs)


async def test_user_and_password() -> None:
    """From the options or the URL; a wrong one is refused with the option to look at, and tried again."""
    with NatsServer('authorization { user: "u", password: "p@ss" }', jetstream=False) as server:
        await gets_in(nats_options(server.url, user="u", password="p@ss"))
        await gets_in(nats_options(server.url.replace("//", "//u:p%40ss@")))
        hint = "look at broker.nats.user and broker.nats.password"
        await is_refused(
            nats_options(server.url, user="u", password="wrong"), "Authorization Violation", hint
        )
        await is_refused(nats_options(server.url.replace("//", "//u:wrong@")), "broker.nats.url")
        await is_refused(nats_options(server.url), "none are configured")


async def test_token() -> None:
    """A token gets in, another is refused."""
    with NatsServer('authorization { token: "sesame" }', jetstream=False) as server:
        await gets_in(nats_options(server.url, token="sesame"))
        await is_refused(nats_options(server.url, token="wrong"), "look at broker.nats.token")


def key(prefix: int, first: int = 0) -> nkeys.KeyPair:
    """A key pair that is the same at every run."""
    return nkeys.from_seed(nkeys.encode_seed(bytes(range(first, first + 32)), prefix))


async def test_nkey(tmp_path: Path) -> None:
    """The owner of the seed gets in by signing the server's nonce."""
    user, stranger = key(nkeys.PREFIX_BYTE_USER), key(nkeys.PREFIX_BYTE_USER, 5)
    (tmp_path / "user.nk").write_bytes(user.seed)
    (tmp_path / "stranger.nk").write_bytes(stranger.seed)
    with NatsServer(
        f"authorization {{ users: [ {{ nkey: {user.public_key.decode()} }} ] }}", jetstream=False
    ) as server:
        await gets_in(nats_options(server.url, nkey_seed_file=str(tmp_path / "user.nk")))
        options = nats_options(server.url, nkey_seed_file=str(tmp_path / "stranger.nk"))
        await is_refused(options, "look at broker.nats.nkey_seed_file")
        options = nats_options(server.url, nkey_seed_file=str(tmp_path / "missing.nk"))
        await is_refused(options, "broker.nats.nkey_seed_file: cannot read")


def jwt(issuer: nkeys.KeyPair, subject: nkeys.KeyPair, kind: str) -> str:
    """A NATS JWT (version 2) by which the issuer vouches for the subject."""

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    claims = {
        "jti": kind,
        "iat": 1_700_000_000,
        "iss": issuer.public_key.decode(),
        "sub": subject.public_key.decode(),
        "name": kind,
        "nats": {
            "type": kind,
            "version": 2,
            **({"subs": -1, "payload": -1, "data": -1} if kind == "user" else {}),
        },
    }
    if kind == "account":
        unlimited = dict.fromkeys(["subs", "conn", "leaf", "imports", "exports", "data", "payload"], -1)
        claims["nats"]["limits"] = {**unlimited, "wildcards": True}
    text = f"{part({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{part(claims)}"
    return f"{text}.{base64.urlsafe_b64encode(issuer.sign(text.encode())).rstrip(b'=').decode()}"


async def test_credentials_file(tmp_path: Path) -> None:
    """A user JWT with its seed gets in; the same JWT with another seed is refused."""
    operator, account = key(nkeys.PREFIX_BYTE_OPERATOR), key(nkeys.PREFIX_BYTE_ACCOUNT)
    user, stranger = key(nkeys.PREFIX_BYTE_USER), key(nkeys.PREFIX_BYTE_USER, 5)
    config = (
        f"operator: {jwt(operator, operator, 'operator')}\nresolver: MEMORY\n"
        f"resolver_preload {{ {account.public_key.decode()}: {jwt(operator, account, 'account')} }}"
    )
    for name, pair in (("user", user), ("stranger", stranger)):
        (tmp_path / f"{name}.creds").write_text(
            f"-----BEGIN NATS USER JWT-----\n{jwt(account, user, 'user')}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{pair.seed.decode()}\n------END USER NKEY SEED------\n"
        )
    with NatsServer(config, jetstream=False) as server:
        await gets_in(nats_options(server.url, credentials_file=str(tmp_path / "user.creds")))
        options = nats_options(server.url, credentials_file=str(tmp_path / "stranger.creds"))
        await is_refused(options, "look at broker.nats.credentials_file")


async def test_tls(tmp_path: Path) -> None:
    """TLS with an authority of our own, by scheme or because the server wants it; a stranger's is refused."""
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    stranger.cert_pem.write_to_path(str(tmp_path / "stranger.pem"))
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(
        str(tmp_path / "server.pem")
    )
    authority.issue_cert("node").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "node.pem"))
    files = f'cert_file: "{tmp_path}/server.pem", key_file: "{tmp_path}/server.pem"'
    trusting = NatsTlsOptions(ca_file=str(tmp_path / "ca.pem"))
    with NatsServer(f"tls {{ {files} }}", jetstream=False) as server:
        url = f"localhost:{server.port}"
        await gets_in(nats_options(f"tls://{url}", tls=trusting))
        await gets_in(nats_options(f"nats://{url}", tls=trusting))
        await is_refused(nats_options(f"tls://{url}"), "certificate verify failed")
        other = NatsTlsOptions(ca_file=str(tmp_path / "stranger.pem"))
        await is_refused(nats_options(f"tls://{url}", tls=other), "certificate verify failed")
        by_number = nats_options(f"tls://127.0.0.1:{server.port}", tls=trusting)
        await is_refused(by_number, "IP address mismatch")
    with NatsServer(
        f'tls {{ {files}, ca_file: "{tmp_path}/ca.pem", verify: true }}', jetstream=False
    ) as server:
        url = f"tls://localhost:{server.port}"
        ours = NatsTlsOptions(ca_file=str(tmp_path / "ca.pem"), cert_file=str(tmp_path / "node.pem"))
        await gets_in(nats_options(url, tls=ours))
        await is_refused(nats_options(url, tls=trusting), "broke")
