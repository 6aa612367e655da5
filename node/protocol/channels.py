"""Channel names: what a name says by itself, without any namespace's options. Pure."""


def namespace_of(channel: str, boundary: str, private_prefix: str = "") -> str:
    """The namespace a channel belongs to: the part before the first boundary, "" where there is none.

    Args:
        channel: the whole name.
        boundary: `channel.namespace_boundary`; "" puts every channel outside any namespace.
        private_prefix: `channel.private_prefix`; not part of the namespace's name (`$chat:1` is of `chat`).
    """
    name = channel.removeprefix(private_prefix)
    if not boundary:
        return ""
    namespace, found, _ = name.partition(boundary)
    return namespace if found else ""
