"""The one error a user is meant to read, and names as they can be shown."""

import os


def shown(name: str | os.PathLike, unknown: str = "replace") -> str:
    """A file's name as text that can be written anywhere: bytes that are no UTF-8 are replaced.

    With ``unknown="backslashreplace"`` two names stay two.
    """
    return os.fspath(name).encode("utf-8", "surrogateescape").decode("utf-8", unknown)


class UserError(Exception):
    """Something the user can mend: one sentence that names the culprit and the remedy, and can be written anywhere.

    At the command line it ends the program with exit status 2; in a notebook the
    sentence alone is shown, without the traceback.
    """

    def __init__(self, sentence: str):
        super().__init__(shown(sentence))

    def _render_traceback_(self):
        """IPython's hook: what to show instead of a traceback (lines of text)."""
        return [f"octavoice: {self}"]
