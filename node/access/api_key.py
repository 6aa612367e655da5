"""The server API's key. Pure; source: the server API reference, section 1."""

import hashlib
import hmac

from node.config.options import HttpApiOptions


class ApiKeyCheck:
    """Whether a request to the server API is a backend's.

    Args:
        options: the key; empty and not insecure refuses everybody.
    """

    __slots__ = ("_digest", "_insecure")

    def __init__(self, options: HttpApiOptions) -> None:
        self._insecure = options.insecure
        self._digest = _digest(options.key) if options.key else None

    def allows(
        self, x_api_key: str | None, authorization: str | None = None, query_key: str | None = None
    ) -> bool:
        """Whether one of the places a key may stand in holds ours; a given X-API-Key decides alone.

        Args:
            x_api_key: the header's value, None if there is none.
            authorization: the header's value, `apikey KEY`.
            query_key: `api_key` of the query string, decoded.
        """
        if self._insecure:
            return True
        if x_api_key is not None:
            return self._fits(x_api_key)
        scheme, _, key = (authorization or "").strip().partition(" ")
        if scheme.lower() == "apikey" and self._fits(key.strip()):
            return True
        return query_key is not None and self._fits(query_key)

    def _fits(self, key: str) -> bool:
        # Digests have one length, so that the time taken does not tell the key's either.
        return self._digest is not None and hmac.compare_digest(_digest(key), self._digest)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
