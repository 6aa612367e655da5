"""Every metric of a node, one row each: where its number is kept, its name, its labels, its meaning.

Names follow Prometheus' practice: base units, and `_total` (which the format adds) on counters. Label
values come from tables of the program, never from clients.
"""

from typing import NamedTuple


class Series(NamedTuple):
    """One row.

    Attributes:
        attribute: of Metrics: an int, or a dictionary from label values to int.
        name: without the prefix `broadcast_` and without a counter's `_total`.
        labels: names of the dictionary's key, or of the parts of its key.
        text: what it means.
        counter: it only grows; otherwise it is a gauge.
    """

    attribute: str
    name: str
    labels: tuple[str, ...]
    text: str
    counter: bool = True


SERIES: tuple[Series, ...] = (
    Series("connected", "connections", ("transport",), "Client connections open now.", counter=False),
    Series("connections_opened", "connections_opened", ("transport",), "Client connections ever opened."),
    Series(
        "subscriptions", "subscriptions", (), "Subscriptions of the clients connected now.", counter=False
    ),
    Series(
        "publications_in",
        "publications_in",
        ("source",),
        "Publications accepted from publishers on this node, by where they came from (api, client).",
    ),
    Series(
        "publications_out",
        "publications_out",
        ("source",),
        "Publications handed to a channel's subscribers (live, repair), or to one who came back (recovery).",
    ),
    Series("deliveries", "deliveries", (), "Publications written to single clients."),
    Series("bytes_in", "client_received_bytes", (), "Bytes clients sent."),
    Series("bytes_out", "client_sent_bytes", (), "Bytes sent to clients."),
    Series("closes", "closes", ("code", "reason"), "Sessions closed, by code and reason."),
    Series("slow_clients", "slow_clients", (), "Sessions closed because the client did not read."),
    Series(
        "gap_repairs",
        "gap_repairs",
        ("result",),
        "Gaps in a channel's live publications, by how it ended (repaired, insufficient_state, abandoned).",
    ),
    Series(
        "recoveries",
        "recoveries",
        ("result", "detail"),
        "Subscriptions that asked to recover: recovered, from tail or store; or not_recovered, and why.",
    ),
    Series(
        "broker_publishes",
        "broker_publishes",
        ("result",),
        "Messages handed to the broker (accepted, rejected, unavailable).",
    ),
    Series("refused", "refused_requests", ("reason",), "Requests refused before a session began, by reason."),
    Series(
        "failures", "failures", (), "Connections and requests ended by a fault of this program; see the log."
    ),
    Series("command_errors", "command_errors", ("code",), "Commands answered with an error, by code."),
    Series(
        "protocol_errors", "protocol_errors", (), "Sessions closed because the client broke the protocol."
    ),
    Series(
        "malformed", "malformed_input", ("where",), "Input that could not be decoded, by where it came in."
    ),
)

# What other parts count, registered by `serve` with `Metrics.observe`; others bring their own help text.
OBSERVED: dict[str, str] = {
    "channels": "Channels with at least one subscriber on this node.",
    "users": "Different users connected to this node.",
    "broker_connected": "1 while the broker's feed stands, otherwise 0.",
    "broker_disconnected_seconds": "Seconds since the broker's feed broke, 0 while it stands.",
    "broker_outbox_bytes": "Bytes waiting to be sent to the broker.",
    "broker_stores_unusable": "Stores of history that cannot be used now; the log and /readyz name them.",
    "tail_publications": "Publications kept in memory for recoveries.",
    "tail_bytes": "Bytes of publications kept in memory for recoveries.",
    "undecodable_announcements": "Announcements of other nodes that could not be read.",
    "log_lines_lost": "Log lines that could not be written.",
    "log_lines_suppressed": "Log lines left out because the same event had one within the second.",
    "drain_phase": "0 while the node serves; then 1 waiting for arrivals to stop, 2 sending, 3 empty.",
    "sent_away": "Sessions sent away by drains and moves.",
    "orders_refused": "Orders that were old, of another process, or not to be obeyed; the log says which.",
    "catalog_failures": "Reports to the catalog and reads of orders that failed.",
    "ready": "1 while the node is ready for new sessions, otherwise 0.",
}

# Counters that a broker keeps for itself, by the names in `Broker.counters`.
BROKER_COUNTERS: dict[str, str] = {
    "feed_reconnects": "Times the broker's feed broke and was made again.",
    "broker_publish_retries": "Publishes repeated because no answer came.",
    "broker_duplicates": "Publishes answered with the position of an earlier one.",
    "broker_reads": "Reads of stored publications and of heads.",
    "broker_reads_repeated": "Answers to reads that proved nothing and were asked for again.",
    "broker_epoch_changes": "Times a store was found to have lost its sequence.",
    "broker_undecodable_headers": "Messages whose headers could not be read; delivered without them.",
    "feed_refused": "Messages not sent because the feed was cut or too much waited in its outbox.",
    "feed_lost_bytes": "Bytes that waited in the feed's outbox when it broke.",
    "feed_unclaimed": "Messages that came for a channel given up meanwhile.",
    "feed_late_answers": "Answers that came when nobody waited for them any more.",
    "feed_server_errors": "Errors the broker's servers reported.",
    "feed_permission_errors": "Of those, the ones about missing permissions.",
    "feed_slow_consumer_errors": "Of those, the ones about this node reading too slowly.",
}
