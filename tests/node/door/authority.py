"""Certificates for tests: an authority, and the files a node reads."""

import ssl
from pathlib import Path

import trustme

from node.config.tls import ServerTlsOptions

PROTOCOLS = ("http/1.1",)


class Authority:
    """Signs for `localhost` and clients; its files are in a directory of the test.

    Args:
        directory: where to.
        clients: whether clients need a certificate.
    """

    def __init__(self, directory: Path, *, clients: bool = False) -> None:
        self._ca = trustme.CA()
        self.ca_pem = directory / "ca.pem"
        self.cert_pem, self.key_pem = directory / "cert.pem", directory / "key.pem"
        self._ca.cert_pem.write_to_path(self.ca_pem)
        self.issue()
        self.options = ServerTlsOptions(
            enabled=True,
            cert_pem=str(self.cert_pem),
            key_pem=str(self.key_pem),
            client_ca_pem=str(self.ca_pem) if clients else "",
        )

    def issue(self) -> None:
        """Write a new certificate and its key."""
        issued = self._ca.issue_cert("localhost", "127.0.0.1")
        issued.private_key_pem.write_to_path(self.key_pem)
        for index, blob in enumerate(issued.cert_chain_pems):
            blob.write_to_path(self.cert_pem, append=index > 0)

    def sign(self, name: str) -> trustme.LeafCert:
        """A certificate for somebody of this name."""
        return self._ca.issue_cert(name)

    def client_context(self, *protocols: str, certified: bool = False) -> ssl.SSLContext:
        """What a client that trusts only this authority has.

        Args:
            protocols: it speaks; HTTP/1.1 if none is given.
            certified: it has a certificate of its own.
        """
        context = ssl.create_default_context()
        self._ca.configure_trust(context)
        context.set_alpn_protocols(protocols or PROTOCOLS)
        if certified:
            self._ca.issue_cert("somebody").configure_cert(context)
        return context
