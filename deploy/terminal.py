"""What every command does with its output when nobody reads it any more."""

import os
import sys


def discard_output() -> None:
    """Let what is still written to standard output vanish: its reader went away (`| head`).

    Without this the interpreter would complain when it flushes at exit.
    """
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
