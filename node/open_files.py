"""How many files this process may have open, and how many of them no client gets.

A connection takes one. Clients that had them all would keep the node from coming back to NATS, from its
catalog and from its certificates.
"""

import resource
import sys

# Kept from clients: for the next connection to NATS and what it takes to find it, the catalog, files.
RESERVED = 32


def raise_limit() -> None:
    """Allow this process as many as it may have without asking anybody (setrlimit(2), the hard limit)."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def limit() -> int:
    """How many it may have open now; where there is no limit, more than anybody has."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft
