"""Tests of `deploy.client_tls` and of commands over TLS: a sentence for each way a handshake can fail."""

import datetime as dt
import os
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from deploy import cli
from deploy.client_tls import ClientTls
from deploy.errors import UserError
from node.config.load import load

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


class Stand(BaseHTTPRequestHandler):
    """A coordinator that knows no node."""

    def do_GET(self) -> None:
        answer = b'{"nodes":[],"plans":[]}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """One whose handshakes may fail: they do in a connection's thread, and silently."""

    def handle_error(self, *_: object) -> None:
        pass


@contextmanager
def serving(certificate: trustme.LeafCert | None, **tls: Any) -> Iterator[str]:
    """The address of a stand-in.

    Args:
        certificate: its own; None: it speaks plain text.
        **tls: attributes of its context; `clients`: whose certificates it wants.
    """
    server = Server(("127.0.0.1", 0), Stand)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        if clients := tls.pop("clients", None):
            clients.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        for name, value in tls.items():
            setattr(context, name, value)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Files:
    """Of somebody who trusts one authority, and has a certificate."""

    def __init__(self, directory: Path, authority: trustme.CA, certificate: trustme.LeafCert) -> None:
        self.ca, self.cert, self.key = (str(directory / name) for name in ("ca.pem", "cert.pem", "key.pem"))
        authority.cert_pem.write_to_path(self.ca)
        certificate.cert_chain_pems[0].write_to_path(self.cert)
        certificate.private_key_pem.write_to_path(self.key)
        self.trusting = ["--ca-file", self.ca]
        self.certified = [*self.trusting, "--cert-file", self.cert, "--key-file", self.key]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Whom the commands are told to trust."""
    return trustme.CA()


@pytest.fixture
def files(tmp_path: Path, authority: trustme.CA) -> Files:
    """Of an operator."""
    return Files(tmp_path, authority, authority.issue_cert("operator.test"))


def test_a_trusted_coordinator_is_spoken_to(
    files: Files, authority: trustme.CA, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the authority's file, and a certificate where one is wanted; its key may be in the same file."""
    with serving(authority.issue_cert("127.0.0.1")) as url:
        assert cli.main(["nodes", "--coordinator", url, *files.trusting]) == 0
    with serving(authority.issue_cert("127.0.0.1"), clients=authority) as url:
        assert cli.main(["nodes", "--coordinator", url, *files.certified]) == 0
        both = Path(files.cert).read_text() + Path(files.key).read_text()
        Path(files.cert).write_text(both)
        assert cli.main(["nodes", "--coordinator", url, *files.trusting, "--cert-file", files.cert]) == 0
    assert capsys.readouterr().out.count("no node is registered") == 3


def test_files_come_from_the_environment_too(
    files: Files, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An option goes before its variable, and nodes that find the variables start all the same."""
    for name, path in (("CA", files.ca), ("CERT", files.cert), ("KEY", files.key)):
        monkeypatch.setenv(f"BROADCAST_COORDINATOR_{name}_FILE", path)
    load(None, os.environ)
    other = tmp_path / "other"
    other.mkdir()
    others = Files(other, trustme.CA(), authority.issue_cert("other.test"))
    Path(others.cert).write_text(Path(others.cert).read_text() + Path(others.key).read_text())
    with serving(authority.issue_cert("127.0.0.1"), clients=authority) as url:
        assert cli.main(["nodes", "--coordinator", url]) == 0
        assert cli.main(["nodes", "--coordinator", url, "--cert-file", others.cert]) == 0
        assert cli.main(["nodes", "--coordinator", url, *others.trusting]) == 1


def test_files_of_the_environment_are_for_https_alone(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They may stand beside any address, and name an authority that only some installations have."""
    monkeypatch.setenv("BROADCAST_COORDINATOR_CA_FILE", "/absent/ca.crt")
    with serving(None) as url:
        assert cli.main(["nodes", "--coordinator", url.replace("https", "http")]) == 0
    with serving(authority.issue_cert("127.0.0.1")) as url:
        assert cli.main(["nodes", "--coordinator", url]) == 1
    assert "give the authority's file with --ca-file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("names", "dates", "said"),
    [
        (["127.0.0.1"], {"not_after": NOW - DAY}, "its certificate has expired"),
        (["127.0.0.1"], {"not_before": NOW + DAY, "not_after": NOW + 2 * DAY}, "not valid yet"),
        (["coordinator.test"], {}, "made out for another name"),
    ],
)
def test_a_certificate_that_does_not_fit_is_told_how(
    names: list[str],
    dates: dict[str, Any],
    said: str,
    files: Files,
    authority: trustme.CA,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Too old, too young or of another name: exit code 1 and one sentence."""
    with serving(authority.issue_cert(*names, **dates)) as url:
        assert cli.main(["nodes", "--coordinator", url, *files.trusting]) == 1
    told = capsys.readouterr().err
    assert said in told
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize("trusting", [True, False], ids=["another authority", "the system's authorities"])
def test_an_unknown_authority_is_named_as_the_cause(
    trusting: bool, files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    """And how to name one."""
    with serving(trustme.CA().issue_cert("127.0.0.1")) as url:
        assert cli.main(["nodes", "--coordinator", url, *(files.trusting if trusting else [])]) == 1
    told = capsys.readouterr().err
    assert "is not trusted" in told
    assert "--ca-file" in told


def test_plain_text_behind_https_is_said(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    """With the address to write."""
    with serving(None) as url:
        assert cli.main(["nodes", "--coordinator", url, *files.trusting]) == 1
    assert "does not speak TLS; write http://" in capsys.readouterr().err


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("certificate", ["none", "of another authority", "expired"])
def test_a_certificate_that_is_wanted_is_asked_for(
    version: ssl.TLSVersion,
    certificate: str,
    tmp_path: Path,
    authority: trustme.CA,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """None, a stranger's or an old one: which one is said, in either version of TLS."""
    issuer = trustme.CA() if certificate == "of another authority" else authority
    dates = {"not_after": NOW - DAY} if certificate == "expired" else {}
    files = Files(tmp_path, authority, issuer.issue_cert("operator.test", **dates))
    given = files.trusting if certificate == "none" else files.certified
    ours = authority.issue_cert("127.0.0.1")
    with serving(ours, clients=authority, minimum_version=version, maximum_version=version) as url:
        assert cli.main(["nodes", "--coordinator", url, *given]) == 1
    told = capsys.readouterr().err
    assert "--cert-file" in told
    expected = {"none": "wants a client's certificate", "expired": "it has expired"}
    assert expected.get(certificate, "its authorities did not sign it") in told


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (ClientTls(ca_file="/absent.pem"), "--ca-file /absent.pem: No such file"),
        (ClientTls(ca_file=__file__), f"--ca-file {__file__}: "),
        (ClientTls(cert_file="/absent.pem"), "--cert-file /absent.pem"),
        (ClientTls(key_file=__file__), "--key-file goes with --cert-file"),
    ],
)
def test_files_that_cannot_be_used_are_named(files: ClientTls, said: str) -> None:
    """Before anything is sent."""
    with pytest.raises(UserError) as raised:
        files.context()
    assert said in str(raised.value)


def test_a_password_is_not_asked_for(tmp_path: Path) -> None:
    """A key with a password cannot be used, and nobody waits at the terminal."""
    key = tmp_path / "key.pem"
    key.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
    with pytest.raises(UserError, match="--cert-file"):
        ClientTls(cert_file=str(key)).context()


def test_files_for_tls_without_tls_are_refused(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    """Who gives them wants no token to go in plain text."""
    assert cli.main(["nodes", "--coordinator", "http://127.0.0.1:1", *files.trusting]) == 1
    assert "is not https://" in capsys.readouterr().err
