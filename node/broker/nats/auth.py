"""What we prove to a NATS server: CONNECT's credential members, and the TLS context. Knows no connection.

Files are read at every attempt to connect, so that renewed credentials and certificates are taken up
without a restart. They are small and local: reading them does not yield to other tasks.
"""

import base64
import re
import ssl
from pathlib import Path

import nkeys

from node.config.nats_urls import Server
from node.config.options import NatsOptions, NatsTlsOptions

_JWT = re.compile(r"-----BEGIN NATS USER JWT-----\s*([\w.-]+?)\s*-+END")
_USER_SEED = re.compile(r"\bSU[A-Z2-7]{56}\b")


class CredentialsError(Exception):
    """A file of credentials or certificates cannot be used; says which option names it."""


def credentials(options: NatsOptions, server: Server, nonce: str) -> dict[str, str]:
    """The members of CONNECT that say who we are; the strongest kind that is configured.

    Args:
        options: a credentials file goes before an nkey seed, that before a token, that before user and
            password; token or user in the server's URL go before those in the options.
        server: the server to be convinced.
        nonce: what it wants signed (INFO's `nonce`).

    Raises:
        CredentialsError: a file cannot be read or holds no usable key.
    """
    if options.credentials_file:
        text = _read("broker.nats.credentials_file", options.credentials_file)
        jwt = _JWT.search(text)
        pair = _key_pair("broker.nats.credentials_file", options.credentials_file, text)
        signed = {"sig": _signature(pair, nonce)}
        # A file without a JWT is a plain nkey seed.
        return {"jwt": jwt[1], **signed} if jwt else {"nkey": pair.public_key.decode(), **signed}
    if options.nkey_seed_file:
        text = _read("broker.nats.nkey_seed_file", options.nkey_seed_file)
        pair = _key_pair("broker.nats.nkey_seed_file", options.nkey_seed_file, text)
        return {"nkey": pair.public_key.decode(), "sig": _signature(pair, nonce)}
    if token := server.token or ("" if server.user else options.token):
        return {"auth_token": token}
    if server.user:
        return {"user": server.user, "pass": server.password}
    return {"user": options.user, "pass": options.password} if options.user else {}


def where_credentials_come_from(options: NatsOptions, server: Server) -> str:
    """Which options to look at when a server refuses us, in the order `credentials` takes them."""
    if options.credentials_file:
        return "broker.nats.credentials_file"
    if options.nkey_seed_file:
        return "broker.nats.nkey_seed_file"
    if server.token or server.user:
        return "the user, password or token in broker.nats.url"
    if options.token:
        return "broker.nats.token"
    if options.user:
        return "broker.nats.user and broker.nats.password"
    return "none are configured: set broker.nats.user and password, token, nkey_seed_file or credentials_file"


def tls_context(options: NatsTlsOptions) -> ssl.SSLContext:
    """A context that verifies the server's certificate and name, and shows ours if there is one.

    Raises:
        CredentialsError: a file cannot be read or is no certificate or key.
    """
    try:  # an SSLError is an OSError
        context = ssl.create_default_context(cafile=options.ca_file or None)
    except OSError as error:
        raise CredentialsError(f"broker.nats.tls.ca_file: cannot use {options.ca_file}: {error}") from None
    if options.cert_file:
        try:
            # The empty password keeps OpenSSL from asking for one on the terminal.
            context.load_cert_chain(options.cert_file, options.key_file or None, password="")
        except OSError as error:
            files = f"{options.cert_file} with key_file {options.key_file or '(the same)'}"
            raise CredentialsError(f"broker.nats.tls.cert_file: cannot use {files}: {error}") from None
    return context


def _read(option: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CredentialsError(f"{option}: cannot read {path}: {error}") from None


def _key_pair(option: str, path: str, text: str) -> nkeys.KeyPair:
    seed = _USER_SEED.search(text)
    if seed is None:
        raise CredentialsError(f"{option}: no user nkey seed (SU...) in {path}")
    try:
        return nkeys.from_seed(seed[0].encode())
    except nkeys.NkeysError as error:
        reason = type(error).__name__
        raise CredentialsError(f"{option}: the nkey seed in {path} is damaged ({reason})") from None


def _signature(pair: nkeys.KeyPair, nonce: str) -> str:
    return base64.urlsafe_b64encode(pair.sign(nonce.encode())).rstrip(b"=").decode()
