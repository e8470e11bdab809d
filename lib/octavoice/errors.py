"""The one error a user is meant to read."""


from octavoice.paths import shown


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
