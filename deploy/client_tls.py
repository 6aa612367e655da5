"""TLS of the commands: what they are given for it, and what a handshake that fails means, in words."""

import os
import ssl
from dataclasses import dataclass
from pathlib import Path

from deploy.errors import UserError

# What OpenSSL calls certificates that it does not take (X509_V_ERR_...), where the rest is a lack of trust.
_NOT_YET_VALID = 9
_EXPIRED = 10
_OTHER_NAMES = frozenset((62, 64))
# What comes back is no TLS: mostly an answer in plain text.
_NO_TLS = frozenset(
    ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "UNEXPECTED_MESSAGE")
)
# Alerts of a server that got no certificate (RFC 8446, section 6.2; RFC 5246, section 7.4.6).
_NO_CERTIFICATE = frozenset(("TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_HANDSHAKE_FAILURE"))
# Alerts of one that got one and does not like it.
_REFUSALS = {
    "TLSV1_ALERT_UNKNOWN_CA": "its authorities did not sign it",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "it has expired",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "it was revoked",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it cannot be checked",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "it is not made out for clients",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it is broken",
}


@dataclass(frozen=True, slots=True)
class ClientTls:
    """PEM files; empty: the system's authorities, and no certificate of our own."""

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""

    def context(self) -> ssl.SSLContext:
        """Our side of the handshake: TLS 1.2 or later, and the server's certificate is always checked.

        Raises:
            UserError: a file cannot be used; the message names its option.
        """
        if self.key_file and not self.cert_file:
            raise UserError("--key-file goes with --cert-file; give both")
        where = f"--ca-file {self.ca_file}"
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            where = f"--cert-file {self.cert_file} and --key-file {self.key_file}"
            if self.cert_file:
                # An empty password: without one OpenSSL would ask for it on the terminal.
                context.load_cert_chain(self.cert_file, self.key_file or None, password="")
        except OSError as error:
            reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
            raise UserError(f"{where}: {reason or error}; give PEM files that belong together") from error
        return context

    def or_environment(self) -> "ClientTls":
        """The same, with what the environment names where nothing was given.

        An authorities' file of the environment that is not there is passed over: the chart names the Secret's
        `ca.crt`, and a Secret need not have that key.
        """
        ca_file, cert_file, key_file = (
            os.environ.get(f"BROADCAST_COORDINATOR_{name}_FILE", "") for name in ("CA", "CERT", "KEY")
        )
        if not Path(ca_file).is_file():
            ca_file = ""
        if self.cert_file or self.key_file:
            # The other's key, or certificate, would not belong to it.
            cert_file = key_file = ""
        return ClientTls(self.ca_file or ca_file, self.cert_file or cert_file, self.key_file or key_file)


def failure(error: Exception) -> str:
    """What went wrong with TLS and what to do about it; "" for what has nothing to do with it.

    Args:
        error: from a connection to a server.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return _distrust(error)
    if not isinstance(error, ssl.SSLError):
        return ""
    if isinstance(error, ssl.SSLEOFError):
        return "it broke off the TLS handshake; does it want a client's certificate (--cert-file)?"
    reason = error.reason or ""
    if reason in _NO_TLS:
        return "it does not speak TLS; write http://"
    if reason in _NO_CERTIFICATE:
        return "it wants a client's certificate; give one with --cert-file and --key-file"
    if reason in _REFUSALS:
        return f"it refuses the certificate in --cert-file: {_REFUSALS[reason]}"
    return f"the TLS handshake failed: {reason or error}"


def _distrust(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code == _EXPIRED:
        return "its certificate has expired; it needs another one"
    if error.verify_code == _NOT_YET_VALID:
        return "its certificate is not valid yet; check its dates, and the clock here"
    if error.verify_code in _OTHER_NAMES:
        return f"its certificate is made out for another name ({error.verify_message}); use one that it has"
    return (
        f"its certificate is not trusted ({error.verify_message}); give the authority's file with --ca-file"
    )
