"""What clients are told of HTTP/3 in answers over TCP. Pure."""

from node.config.options import HttpServerOptions

# How long a client may rely on it, seconds: a port that was switched off is tried for so long.
_VALID_S = 3600


def alt_svc(options: HttpServerOptions) -> str:
    """The value of the Alt-Svc field (RFC 7838, section 3); "" for none.

    Args:
        options: `http_server`. With port 0 there is nothing to say before the port is open, and nothing is.
    """
    port = options.http3.announced_port or options.port
    return f'h3=":{port}"; ma={_VALID_S}' if options.http3.enabled and port else ""


def alt_svc_line(options: HttpServerOptions) -> str:
    """The same as a line of a head, with its CRLF; "" for none.

    Args:
        options: `http_server`.
    """
    return f"Alt-Svc: {value}\r\n" if (value := alt_svc(options)) else ""
