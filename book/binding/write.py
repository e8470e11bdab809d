"""The parts of the book's pages that are made from data, each as Markdown."""

import inspect
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

from binding import equations, read

VERDICTS = "10_verdicts"
"""The notebook that has every claim."""
NOT_BUILT = "not built yet"


def part(name: str, argument: str = "") -> str:
    """The generated part called ``name``; raises KeyError for one that there is none of."""
    return PARTS[name](*([argument] if argument else []))


def levels() -> str:
    """The small table of committed runs, as in the README."""
    from octavoice.results import compared, published

    return published.markdown(compared.headline())


def map_of_the_thesis() -> str:
    """For every section its pages, modules, figures and claims, all linked, and what of it is not built yet."""
    return "\n\n".join(_section(number) for number in read.sections())


def _section(number: str) -> str:
    pages = [f"[{book.title}](page:{book.name})" for book in read.notebooks().values()
             if number in book.opening.sections]
    section = read.sections()[number]
    left = section.get(NOT_BUILT.replace(" ", "-"))
    rows = {"Pages": pages, "Code": _code_of(number), "Figures": _figures_of(number), "Claims": _claims_of(number),
            NOT_BUILT.capitalize(): [left] if left else []}
    about = f"{section['about'][0].upper()}{section['about'][1:]}."
    lines = [f"## §{number} {section['en']}", "", f"*{section['ru']}*", "", about, ""]
    return "\n".join([*lines, *(f"{name}\n: {', '.join(links)}\n" for name, links in rows.items() if links)])


def figures() -> str:
    """Every figure of the thesis: where it stands, what it shows, and where it is drawn here."""
    rows = ["| figure | in | shows | drawn here |", "| --- | --- | --- | --- |"]
    rows += [f"| Fig. {number} | §{figure['section']} | {figure['shows']} | {_drawn_as(number)} |"
             for number, figure in read.figures().items()]
    return "\n".join(rows)


def _drawn_as(figure: int) -> str:
    """A link to where a figure is drawn, with the function that does; or that it is not."""
    drawn = {number: f"[{book.name}](page:{book.name}#{anchor})" for book in read.notebooks().values()
             for number, anchor in book.figures.items()}
    return f"{drawn[figure]}{_drawers(figure)}" if figure in drawn else NOT_BUILT


def _code_of(number: str) -> list[str]:
    """Modules whose docstring names a section; of others the definitions that do; and what the glossary names."""
    found = {}
    for module in read.modules().values():
        if number in read.named(module.doc).sections:
            found[module.name] = _code(module)
        else:
            found |= {f"{module.name}.{one.name}": _code(module, one) for one in read.public(module)
                      if number in read.named(one.doc).sections}
    terms = [term["code"] for term in read.data("glossary")["term"] if term["where"] == number and "code" in term]
    for path in terms:
        module, definition = read.place(path)
        if module.name not in found:
            found.setdefault(path, _code(module, definition))
    return list(found.values())


def _code(module: read.Module, definition: read.Definition | None = None) -> str:
    """A link to a module or a definition of it, by its name without the package's."""
    name, anchor = (f".{definition.name}", f"#{definition.name}") if definition else ("", "")
    return f"[{module.name.removeprefix('octavoice.')}{name}](code:{module.name}{anchor})"


def _figures_of(number: str) -> list[str]:
    """The thesis's figures of a section."""
    return [f"Fig. {figure}: {_drawn_as(figure)}" for figure, row in read.figures().items()
            if row["section"] == number]


def _drawers(figure: int) -> str:
    by = [f"[{one.name}](code:{module.name}#{one.name})" for module in read.modules().values()
          if ".figures." in module.name for one in read.public(module)
          if figure in read.named(one.doc.splitlines()[0] if one.doc else "").figures]
    return f" by {', '.join(by)}" if by else ""


def _claims_of(number: str) -> list[str]:
    """The claims of a section, by their table if the package holds it, else those that its pages open with."""
    if read.claims():
        of_section = [claim for claim, row in read.claims().items() if number in read.named(row["section"]).sections]
    else:
        of_section = sorted(set().union(*(book.opening.claims for book in read.notebooks().values()
                                          if number in book.opening.sections)))
    return [claim_link(claim) for claim in of_section]


def claim_link(claim: int) -> str:
    """A claim as a link: to its verdict, with all its evidence."""
    return f"[C{claim}](page:{VERDICTS}#claim-c{claim})"


def claims() -> str:
    """Every claim that a page, a docstring or the package's table names: its verdict, the pages and code on it."""
    pages = {number for book in read.notebooks().values() for number in book.claims}
    rows = ["| claim | in our words | verdict | pages | code |", "| --- | --- | --- | --- | --- |"]
    for number in sorted(pages | read.claims().keys()):
        words = read.claims().get(number, {}).get("words", "–")
        where = [f"[{book.title.split(' · ')[0]}](page:{book.name}#{book.claims[number]})"
                 for book in read.notebooks().values() if number in book.claims]
        code = [f"[{module.name.removeprefix('octavoice.')}](code:{module.name})" for module in read.modules().values()
                if any(number in read.named(doc).claims for doc in [module.doc, *(one.doc for one in
                                                                                  module.definitions.values())])]
        rows.append(f"| {claim_link(number)}{{#claim-c{number}}} | {words} | {read.verdicts().get(number, '–')} "
                    f"| {', '.join(where)} "
                    f"| {', '.join(code) or '–'} |")
    return "\n".join(rows)


def verdicts() -> str:
    """How many claims came to each verdict, and which: the committed table in short, every claim linked."""
    rows = ["| verdict | claims | which |", "| --- | --- | --- |"]
    found = read.verdicts()
    for verdict in dict.fromkeys(found.values()):
        of_it = [number for number in found if found[number] == verdict]
        rows.append(f"| **{verdict}** | {len(of_it)} | {', '.join(map(claim_link, of_it))} |")
    return "\n".join(rows)


def all_equations() -> str:
    """Every display equation of the notebooks with its page and the lines that implement it."""
    found = []
    for book in read.notebooks().values():
        if book.equations:
            found.append(f"## {book.title}")
        for tex in book.equations:
            row = equations.row_of(tex, book.name)
            links = [f"[{text}]({page.replace('code/', 'code:')}#{anchor})" for text, page, anchor
                     in map(equations.link, row["code"])]
            found += [f"$$\n{tex.strip()}\n$$", f"With {row['symbols']}.", ", ".join(links) or
                      f"Computed where it stands, in [{book.title}](page:{book.name})."]
    return "\n\n".join(re.sub(r"\\tag\{(\d)\}", r"\\qquad (\1)", line) for line in found)


def glossary() -> str:
    """The terms of the thesis, chapter by chapter: Russian, English, what each is, name in code, symbol."""
    terms, found = read.data("glossary")["term"], []
    for chapter in dict.fromkeys(term["where"].split(".")[0] for term in terms):
        found.append(f"## §{chapter} {read.sections()[chapter]['en']}")
        found += [_term(term) for term in terms if term["where"].split(".")[0] == chapter]
    return "\n\n".join(found)


def _term(term: dict) -> str:
    facts = []
    if term.get("code"):
        module, definition = read.place(term["code"])
        name = f"{module.name.removeprefix('octavoice.')}{f'.{definition.name}' if definition else ''}"
        facts.append(f"[`{name}`](code:{module.name}#{definition.name if definition else ''})")
    facts += [f"${term['symbol']}$"] if term.get("symbol") else []
    facts = facts if term.get("code") else [f"*{NOT_BUILT}*"]
    what = f"{term['what'][0].upper()}{term['what'][1:]} (§{term['where']})."
    return f"{term['ru']} – **{term['en']}**\n: {' '.join([what, ' · '.join(facts)])}"


def rooms() -> str:
    """Every module with the first sentence of its docstring, room by room, linked to its text."""
    packages = {name for name, module in read.modules().items() if module.file.name == "__init__.py"}
    found: dict[str, list[str]] = {"octavoice": []}
    for name, module in read.modules().items():
        first = " ".join(module.doc.split("\n\n")[0].split())
        room = next((part for part in (name, name.rpartition(".")[0]) if part in packages), "octavoice")
        room = ".".join(room.split(".")[:2])
        found.setdefault(room, []).append(f"- [{name}](code:{name}): {_escaped(first)}")
    return "\n\n".join(f"## {room}\n\n" + "\n".join(lines) for room, lines in found.items())


def _escaped(text: str) -> str:
    return re.sub(r"([\\*_<>$\[\]{}|])", r"\\\1", text) if "`" not in text else text.replace("``", "`")


def presets() -> str:
    """Every field of a preset with its comment in the code, and its value in each preset."""
    from octavoice.training.presets import PRESETS, Preset

    fields = re.findall(r"^    (\w+): \w+(?: = \S+)?(?:\s+# (.+))?$", inspect.getsource(Preset), flags=re.M)
    rows = [f"| setting | {' | '.join(PRESETS)} | meaning |", f"| --- |{' --- |' * (len(PRESETS) + 1)}"]
    return "\n".join([*rows, *(f"| `{name}` | {' | '.join(str(getattr(preset, name)) for preset in PRESETS.values())} "
                               f"| {note or '–'} |" for name, note in fields if name != "name")])


def corpora() -> str:
    """The named corpora: files, size, licence, what is taken."""
    from octavoice.corpus import catalogue

    rows = ["| corpus | files | MB | licence | what it is |", "| --- | --- | --- | --- | --- |"]
    rows += [f"| `{row['corpus']}` | {row['files']} | {row['MB']} | {row['licence']} | {row['title']} |"
             for row in catalogue.table()]
    return "\n".join(rows)


def led(text: str) -> str:
    """A page with its links to notebooks and modules, as they lie in the checkout, led to their pages of the book."""
    return re.sub(r"\]\(\.\./((?:notebooks|lib)/[^)#]+\.(?:ipynb|py)|NOTICE\.md)",
                  lambda link: f"]({_page(Path(link[1]))}", text)


def _page(file: Path) -> str:
    """Where a link to a file of the checkout leads in the book."""
    if file.suffix == ".py":
        return f"code:{'.'.join(file.with_suffix('').parts[1:])}"
    return f"page:{file.stem}" if file.suffix == ".ipynb" else "notice.md"


def notebooks() -> str:
    """A list of the notebooks with the sections they open with."""
    return "\n".join(f"- [{book.title}](page:{book.name}): " +
                     (", ".join(f"§{number}" for number in read.sections() if number in book.opening.sections) or "–")
                     for book in read.notebooks().values())


@cache
def _drawn() -> dict[str, str]:
    """Figs. 11 to 13 from freshly built networks, as SVG."""
    from octavoice.figures import style
    from octavoice.laboratory import schemes
    from octavoice.thesis.decoder import Decoder
    from octavoice.thesis.generator import OctaveGenerator

    generator, decoder = OctaveGenerator(), Decoder()
    with style.used():
        figures = {"11": schemes.whole_model(generator, decoder), "12": schemes.main_module(generator),
                   "13": schemes.sampler(generator.sampler)}
        return {number: style.render(figure)["svg"].decode() for number, figure in figures.items()}


def diagram(number: str) -> str:
    """Fig. 11, 12 or 13 as a picture inside the page."""
    svg = _drawn()[number]
    svg = re.sub(r'"#?([A-Za-z]\w*)"', lambda name: name[0].replace(name[1], f"f{number}{name[1]}")
                 if f'id="{name[1]}"' in svg else name[0], svg[svg.index("<svg"):])
    svg = re.sub(r"url\(#(\w+)\)", rf"url(#f{number}\1)", svg)
    return f'<div class="diagram" role="img" aria-label="Fig. {number}, redrawn">{"".join(svg.splitlines())}</div>'


def player(argument: str) -> str:
    """A player for a committed MIDI file: ``PATH | CAPTION``."""
    from octavoice.formats import sound
    from octavoice.formats.midi import read_midi

    path, caption = argument.split(" | ")
    piece = read_midi(read.ROOT / path)
    return sound.player(piece.roll, title=caption, durations=piece.held).data


PARTS: dict[str, Callable[..., str]] = {
    "levels": levels, "map": map_of_the_thesis, "figures": figures, "claims": claims, "equations": all_equations,
    "glossary": glossary,
    "rooms": rooms, "presets": presets, "corpora": corpora, "verdicts": verdicts,
    "notebooks": notebooks, "diagram": diagram, "player": player}
