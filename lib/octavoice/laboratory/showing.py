"""What notebooks show in a form of their own: tables with a part folded away, and code without cross-references."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable

import pandas as pd
from IPython.display import HTML, Code

ROLE = re.compile(r":\w+:`~?(?:[\w.]*\.)?(\w+)`")
"""A cross-reference of a docstring, which leads nowhere where code is printed."""


def folded(table: pd.DataFrame, aside: Iterable[str], summary: str = "machines and settings") -> HTML:
    """A table, and below it one of its columns ``aside``, folded away under a ``summary``."""
    aside = [column for column in aside if column in table]
    if not aside:
        return HTML(table.to_html())
    return HTML(f"{table.drop(columns=aside).to_html()}<details><summary>{summary}</summary>"
                f"{table[aside].to_html()}</details>")


def source(part) -> Code:
    """The lines of a function or class as they stand in the code, without what leads only to other code.

    A docstring that is no more than a cross-reference is left out; in others the name alone is kept.
    """
    lines = textwrap.dedent(inspect.getsource(part)).splitlines()
    body = ast.parse("\n".join(lines)).body[0].body
    if ast.get_docstring(ast.parse("\n".join(lines)).body[0], clean=True) and _refers(body[0].value.value):
        del lines[body[0].lineno - 1:body[0].end_lineno]
    return Code(ROLE.sub(r"\1", "\n".join(lines)) + "\n", language="python")


def _refers(doc: str) -> bool:
    """Whether a docstring says no more than where to look."""
    return bool(re.fullmatch(r"See :\w+:`[^`]+`\.?", doc.strip()))
