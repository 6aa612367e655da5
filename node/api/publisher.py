"""The one way into a channel, for the server API and for clients: rules checked, then the broker.

Who may publish is decided before; what may be published, where it is stored and what an idempotency key
means is decided here.
"""

from node.access.channels import ChannelRules, ResolvedChannel
from node.broker.interface import (
    Broker,
    BrokerError,
    BrokerUnavailable,
    HistoryOptions,
    Message,
    MessageTooLarge,
)
from node.protocol.errors import CommandError
from node.protocol.json_text import is_embeddable
from node.protocol.messages import ClientInfo, StreamPosition
from node.protocol.reasons import BAD_REQUEST, NOT_AVAILABLE
from node.telemetry.metrics import Metrics

# Generous for an identifier; the key travels in a header of the broker.
_IDEMPOTENCY_KEY_LENGTH_MAX = 256
_JSON_SPACE = b" \t\r\n"


class Publisher:
    """Publishes to the cluster.

    Args:
        broker: carries and stores.
        rules: which channels there are and what they keep.
        metrics: what was accepted is counted there.
    """

    def __init__(self, broker: Broker, rules: ChannelRules, metrics: Metrics) -> None:
        self._broker = broker
        self._rules = rules
        self._metrics = metrics

    async def publish(
        self,
        channel: str,
        data: bytes,
        *,
        info: ClientInfo | None = None,
        tags: dict[str, str] | None = None,
        skip_history: bool = False,
        idempotency_key: str = "",
    ) -> StreamPosition | None:
        """Publish once; on a channel that keeps history it is stored when this returns.

        Args:
            channel: checked against the rules.
            data: the payload.
            info: the publishing client; None for the server API.
            tags: the publisher's labels.
            skip_history: deliver without storing.
            idempotency_key: a repeat within the duplicate window returns the first position; "" for none.

        Returns:
            The publication's position, None where nothing was stored.

        Raises:
            CommandError: the channel or the payload is not allowed, or the key cannot be honoured.
            BrokerError: it was not accepted, or nobody knows whether it was.

        A cancelled call may or may not have published.
        """
        resolved = self._rules.resolve(channel)
        _check_data(data, resolved, from_client=info is not None)
        stored = resolved.options.keeps_history and not skip_history
        if idempotency_key:
            _check_idempotency_key(idempotency_key, stored=stored)
        counts = self._metrics.broker_publishes
        try:
            position = await self._broker.publish(
                channel,
                Message(data, info, tags or None),
                _history(resolved) if stored else None,
                idempotency_key,
            )
        except MessageTooLarge as error:
            counts["rejected"] += 1
            # Not the internal error that the others are: publishers try that one again.
            raise CommandError(BAD_REQUEST, str(error)) from error
        except BrokerError as error:
            counts["unavailable" if isinstance(error, BrokerUnavailable) else "rejected"] += 1
            raise
        counts["accepted"] += 1
        self._metrics.publications_in["api" if info is None else "client"] += 1
        return position


def _history(resolved: ResolvedChannel) -> HistoryOptions:
    options = resolved.options
    return HistoryOptions(options.history_size, options.history_ttl, resolved.history_meta_ttl_s)


def _check_data(data: bytes, resolved: ResolvedChannel, *, from_client: bool) -> None:
    wanted = resolved.options.publication_data_format
    if wanted == "binary":
        return
    if not data:
        raise CommandError(BAD_REQUEST, "the publication has no data")
    # Bytes that are not JSON disconnect every JSON subscriber: a backend may know what it does, a client's
    # Protobuf must not be able to.
    if (wanted or from_client) and not is_embeddable(data):
        raise CommandError(BAD_REQUEST, "the data is not JSON; publication_data_format: binary allows that")
    if wanted == "json_object" and not data.lstrip(_JSON_SPACE).startswith(b"{"):
        raise CommandError(BAD_REQUEST, "the namespace takes JSON objects only")


def _check_idempotency_key(key: str, *, stored: bool) -> None:
    if not stored:
        # Only a store can tell a repeat. Ignoring the key would let a publisher retry in the belief that
        # nobody sees its message twice.
        raise CommandError(NOT_AVAILABLE, "an idempotency key needs a publication that is stored")
    if len(key) > _IDEMPOTENCY_KEY_LENGTH_MAX or not key.isprintable():
        raise CommandError(BAD_REQUEST, "the idempotency key is too long or not printable")
