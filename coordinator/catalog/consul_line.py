"""py-consul, which blocks, called from trio: one call after the other. Knows nothing of the catalog."""

import base64
import json
import ssl
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import consul
import trio

from coordinator.catalog.access import ConsulAccess
from coordinator.catalog.interface import CatalogUnavailable, Conflict
from protos import consul_words

_PORT = 8500
# An agent that does not answer by then, beside the time it was told to wait for news, is out of reach.
_ANSWER_DEADLINE_S = 2.0
_FAILED_CONDITION = 409
# Says that an answer lacks something because of the token; not said to who gives none, nor by old versions.
_FILTERED = "X-Consul-Results-Filtered-By-ACLs"

_T = TypeVar("_T")


class _ResultsHidden(Exception):
    """An answer does not hold all there is."""


class Line:
    """A client of the agent for one task at a time.

    Args:
        access: the agent.
    """

    def __init__(self, access: ConsulAccess) -> None:
        parts = urlsplit(access.url)
        authorities = access.ca_file or ssl.get_default_verify_paths().cafile or True
        self._client = consul.Consul(
            host=parts.hostname or "",
            port=parts.port or _PORT,
            scheme=parts.scheme,
            dc=access.datacenter or None,
            verify=authorities,
            cert=(access.cert_file, access.key_file) if access.cert_file else None,
            connections_timeout=_ANSWER_DEADLINE_S,
        )
        # The environment has no say: what holds is in the configuration.
        self._client.token = access.token or None
        self._client.http.session.trust_env = False
        self._client.http.session.hooks["response"].append(_whole)
        # Held by a thread until it ends, also by one whose caller was cancelled.
        self._turn = trio.CapacityLimiter(1)

    async def call(self, question: Callable[[consul.Consul], _T]) -> _T:
        """Ask the agent in a thread; cancelled, it leaves the thread behind.

        Args:
            question: uses the client it is given, and nothing of trio.

        Raises:
            CatalogUnavailable: no answer, the agent refuses, or it hides something from us.
        """
        try:
            return await trio.to_thread.run_sync(
                question, self._client, abandon_on_cancel=True, limiter=self._turn
            )
        except (OSError, consul.ConsulException) as error:  # all that requests raises is an OSError
            raise CatalogUnavailable(consul_words.failure(error)) from error
        except _ResultsHidden as error:
            raise CatalogUnavailable(consul_words.hidden(str(error))) from error

    async def transaction(self, *operations: dict[str, Any]) -> list[dict[str, Any]]:
        """Do operations on keys together or not at all; returns what they left.

        Raises:
            Conflict: a condition does not hold.
            CatalogUnavailable: as `call`.
        """
        data = json.dumps([{"KV": operation} for operation in operations])

        def put(client: consul.Consul) -> tuple[int, str]:
            # By hand: py-consul's own sends no token, and does not tell a conflict from a mistake.
            return client.http.put(  # type: ignore[no-any-return]
                lambda answer: (answer.code, answer.body),
                "/v1/txn",
                params=[("dc", client.dc)] if client.dc else None,
                data=data,
                headers=client.prepare_headers(),
            )

        code, body = await self.call(put)
        if code == _FAILED_CONDITION:
            raise Conflict(body)
        if code >= 300:
            raise CatalogUnavailable(consul_words.refusal(code, body))
        return [result["KV"] for result in json.loads(body)["Results"]]


def _whole(answer: Any, *_: Any, **__: Any) -> None:
    """Called by requests with each answer; one that lacks something is no news of what there is."""
    if answer.headers.get(_FILTERED) == "true":
        answer.close()
        raise _ResultsHidden(unquote(urlsplit(answer.url).path))


def in_transaction(value: bytes) -> str:
    """A value as an operation of a transaction wants it."""
    return base64.b64encode(value).decode()
