"""A page for every module of the package: its text with numbered lines, each definition an anchor by its name."""

import html
from collections.abc import Iterator

from sphinx.highlighting import PygmentsBridge

from binding import read


def pages(app) -> Iterator[tuple[str, dict, str]]:
    """What Sphinx asks for after the pages of the book are written: name, context and template of each."""
    highlighter: PygmentsBridge = app.builder.highlighter
    for module in read.modules().values():
        text = module.file.read_text(encoding="utf-8")
        shown = highlighter.highlight_block(text, "python", opts={}, linenos="inline", linespans="L")
        body = f'<h1><code>{html.escape(module.name)}</code></h1><div class="module">{anchored(shown, module)}</div>'
        yield f"code/{module.name}", {"title": module.name, "body": body}, "page.html"


def anchored(shown: str, module: read.Module) -> str:
    """Highlighted text whose lines are spans ``L-1``, ``L-2`` …, with a span named after each definition around its
    lines."""
    for definition in module.definitions.values():
        first, last = definition.lines
        start, after = shown.find(f'<span id="L-{first}">'), shown.find(f'<span id="L-{last + 1}">')
        after = after if after >= 0 else shown.rindex("</pre>")
        opening = f'<span class="definition" id="{definition.name}">'
        shown = f"{shown[:start]}{opening}{shown[start:after]}</span>{shown[after:]}"
    return shown
