"""Counts in what plans say to people. Pure."""


def counted(count: float, one: str, many: str) -> str:
    """A whole number with what it is of, as in "1 client" and "2 clients"."""
    return f"{count:.0f} {one if round(count) == 1 else many}"


def clients(count: float) -> str:
    """So many clients."""
    return counted(count, "client", "clients")
