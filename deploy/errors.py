"""What the command line raises for mistakes that are its user's to set right."""


class UserError(Exception):
    """Something the person at the terminal can change; the message is one sentence that says what.

    The command line prints it on stderr and exits with 1, without a traceback.
    """
