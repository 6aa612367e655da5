"""Credentials and TLS files: what goes into CONNECT, and a clear word on files that cannot be used."""

import base64
from pathlib import Path

import nkeys
import pytest
import trustme

from node.broker.nats.auth import CredentialsError, credentials, tls_context, where_credentials_come_from
from node.config.nats_urls import parse_servers
from node.config.options import NatsOptions, NatsTlsOptions

SEED = nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_USER).decode()
PUBLIC = nkeys.from_seed(SEED.encode()).public_key.decode()
CREDS = (
    "-----BEGIN NATS USER JWT-----\neyJ0-_.eyJ.sig\n------END NATS USER JWT------\n\n"
    f"-----BEGIN USER NKEY SEED-----\n{SEED}\n------END USER NKEY SEED------\n"
)
(PLAIN,) = parse_servers("nats://h")


def is_signed(sig: str, nonce: str) -> bool:
    raw = base64.urlsafe_b64decode(sig + "=" * (-len(sig) % 4))
    return bool(nkeys.from_seed(SEED.encode()).verify(nonce.encode(), raw))


@pytest.mark.parametrize(
    ("url", "options", "members", "where"),
    [
        ("h", {}, {}, "none"),
        ("h", {"user": "u", "password": "p"}, {"user": "u", "pass": "p"}, "broker.nats.user"),
        ("h", {"user": "u", "token": "t"}, {"auth_token": "t"}, "broker.nats.token"),
        ("a:b@h", {"user": "u", "token": "t"}, {"user": "a", "pass": "b"}, "broker.nats.url"),
        ("x@h", {"user": "u", "token": "t"}, {"auth_token": "x"}, "broker.nats.url"),
    ],
)
def test_which_credentials_count(
    url: str, options: dict[str, str], members: dict[str, str], where: str
) -> None:
    """The URL goes before the options, a token before user and password; the hint names what counts."""
    (server,) = parse_servers(url)
    assert credentials(NatsOptions(**options), server, "nonce") == members
    assert where in where_credentials_come_from(NatsOptions(**options), server)


def test_an_nkey_signs_the_nonce(tmp_path: Path) -> None:
    """A seed file, comments around it or not, proves its public key by a signature."""
    file = tmp_path / "user.nk"
    file.write_text(f"# a comment\n{SEED}\n")
    options = NatsOptions(nkey_seed_file=str(file), user="u")
    members = credentials(options, PLAIN, "n0nce")
    assert members["nkey"] == PUBLIC
    assert is_signed(members["sig"], "n0nce")
    assert set(members) == {"nkey", "sig"}
    assert where_credentials_come_from(options, PLAIN) == "broker.nats.nkey_seed_file"


def test_a_credentials_file_gives_jwt_and_signature(tmp_path: Path) -> None:
    """A .creds file's JWT is sent and its seed signs; without a JWT it is taken for a seed file."""
    file = tmp_path / "user.creds"
    file.write_text(CREDS)
    options = NatsOptions(credentials_file=str(file), token="t")
    members = credentials(options, PLAIN, "n0nce")
    assert members["jwt"] == "eyJ0-_.eyJ.sig"
    assert is_signed(members["sig"], "n0nce")
    assert set(members) == {"jwt", "sig"}
    assert where_credentials_come_from(options, PLAIN) == "broker.nats.credentials_file"
    file.write_text(SEED)
    assert credentials(options, PLAIN, "n0nce")["nkey"] == PUBLIC


@pytest.mark.parametrize("option", ["credentials_file", "nkey_seed_file"])
@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b"no seed here", SEED[:-1].encode()])
def test_an_unusable_file_is_named(tmp_path: Path, option: str, content: bytes | None) -> None:
    """A missing or damaged file is told with its option and path, and never with its content."""
    file = tmp_path / "file"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(CredentialsError, match=rf"broker\.nats\.{option}: .*{file}") as caught:
        credentials(NatsOptions(**{option: str(file)}), PLAIN, "n")
    assert SEED[:20] not in str(caught.value)


def test_a_tls_context_verifies(tmp_path: Path) -> None:
    """The server's certificate and name are checked, always; our own certificate is loaded where given."""
    authority = trustme.CA()
    ca, pem = tmp_path / "ca.pem", tmp_path / "node.pem"
    authority.cert_pem.write_to_path(str(ca))
    authority.issue_cert("node").private_key_and_cert_chain_pem.write_to_path(str(pem))
    context = tls_context(NatsTlsOptions(ca_file=str(ca), cert_file=str(pem)))
    assert context.check_hostname
    assert context.verify_mode.name == "CERT_REQUIRED"
    assert len(context.get_ca_certs()) == 1


def test_unusable_tls_files_are_named(tmp_path: Path) -> None:
    """A missing authority, and a certificate without its key, are told with their options."""
    nothing = tmp_path / "nothing"
    with pytest.raises(CredentialsError, match=r"broker\.nats\.tls\.ca_file"):
        tls_context(NatsTlsOptions(ca_file=str(nothing)))
    certificate = tmp_path / "cert.pem"
    trustme.CA().issue_cert("node").cert_chain_pems[0].write_to_path(str(certificate))
    with pytest.raises(CredentialsError, match=r"broker\.nats\.tls\.cert_file.*the same"):
        tls_context(NatsTlsOptions(cert_file=str(certificate)))
