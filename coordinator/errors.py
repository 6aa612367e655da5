"""Why an operation of the coordinator is not done; every door turns these into its own status."""


class OperationError(Exception):
    """Base of the refusals; the message says what was wrong and what can be done, for people."""


class NotAllowed(OperationError):
    """The caller gave no token, or a wrong one."""


class InvalidRequest(OperationError):
    """The request contradicts itself, or a value makes no sense."""


class NotFound(OperationError):
    """There is no such node or plan."""


class NotPossible(OperationError):
    """It cannot be done as asked, in the state the cluster is in."""


class Unavailable(OperationError):
    """The catalog is out of reach: whatever could be answered would be old news."""
