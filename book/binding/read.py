"""What the book is made from: the thesis's sections, the notebooks as stored, the package's code; nothing is run."""

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from docutils.nodes import make_id

from octavoice import provenance

BOOK = Path(__file__).resolve().parents[1]
ROOT = BOOK.parent
SECTION = re.compile(r"§(\d(?:\.\d)?)(?:[–-](\d\.\d))?((?:(?:, | and )\d\.\d)*)")
FIGURE = re.compile(r"\bFigs?\. (\d+)(?:[–-](\d+)| and (\d+))?")
KEY_NAME = re.compile(r"MIDI \d+ \([A-G]\d\)")  # C8 is a key, too
CLAIM = re.compile(r"\bC(\d{1,2})(?:[–-]C?(\d{1,2}))?\b")


@dataclass(frozen=True)
class Named:
    """What of the thesis a text names: its sections (``"6.3"``), figures and claims (numbers)."""

    sections: frozenset[str]
    figures: frozenset[int]
    claims: frozenset[int]


@dataclass(frozen=True)
class Heading:
    """A heading of a notebook and the anchor that the page has for it."""

    level: int
    text: str
    anchor: str


@dataclass
class Notebook:
    """A notebook: what its first cell names, its headings and equations, and anchors: of the thesis's figures that it
    draws, and of the claims that it deals with (what it puts out about the claim, else a heading that names it, else
    the first mention)."""

    name: str
    title: str
    opening: Named
    headings: list[Heading] = field(default_factory=list)
    figures: dict[int, str] = field(default_factory=dict)
    claims: dict[int, str] = field(default_factory=dict)
    equations: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Definition:
    """A function, method, class or constant of a module: its lines (first, last) and what its docstring says."""

    name: str
    lines: tuple[int, int]
    doc: str


@dataclass(frozen=True)
class Module:
    """A module of the package: its file, docstring and definitions by name (``MainModule.forward``)."""

    name: str
    file: Path
    doc: str
    definitions: dict[str, Definition]


def data(name: str) -> dict:
    """One of the book's own tables."""
    return tomllib.loads((BOOK / "data" / f"{name}.toml").read_text(encoding="utf-8"))


@cache
def sections() -> dict[str, dict]:
    """The thesis's sections by number, in order: ``ru`` and ``en``, its headings in Russian and in our English, what it
    is ``about``, and what in it is ``not-built-yet``."""
    return data("thesis")["sections"]


@cache
def figures() -> dict[int, dict]:
    """The thesis's figures by number: the ``section`` that each stands in, and what it ``shows``."""
    return {int(number): row for number, row in data("thesis")["figures"].items()}


def named(text: str) -> Named:
    """What of the thesis a text names; ranges (§6.2–6.4, C5–C8) stand for all between their ends."""
    order, found, text = list(sections()), set(), KEY_NAME.sub("", text)
    for first, last, others in SECTION.findall(text):
        found |= set(order[order.index(first):order.index(last) + 1]) if last in order and first in order else {first}
        found |= set(re.findall(r"\d\.\d", others))
    return Named(frozenset(found & set(order)), frozenset(_numbers(FIGURE, text)), frozenset(_numbers(CLAIM, text)))


def _numbers(pattern: re.Pattern, text: str) -> Iterator[int]:
    for match in pattern.finditer(text):
        first, last, *also = match.groups()
        yield from range(int(first), int(last or first) + 1)
        yield from (int(number) for number in also if number)


@cache
def notebooks() -> dict[str, Notebook]:
    """The stored notebooks by name, those of the thesis first."""
    files = sorted((ROOT / "notebooks").glob("*.ipynb"), key=lambda path: (not path.stem[0].isdigit(), path.stem))
    return {path.stem: _notebook(path.stem, json.loads(path.read_text(encoding="utf-8"))["cells"]) for path in files}


def _notebook(name: str, cells: list[dict]) -> Notebook:
    opening = "".join(cells[0]["source"])
    book, anchor = Notebook(name, opening.splitlines()[0].removeprefix("# "), named(opening)), ""
    judged = {number: f"claim-c{number}" for cell in cells for number in judged_in(cell)}
    for cell in cells:
        text = "".join(cell["source"])
        if cell["cell_type"] == "code":
            for number in re.findall(r'"fig(\d\d)_\w+"', text):
                book.figures.setdefault(int(number), anchor)
            continue
        for line in re.sub(r"```.*?```", "", text, flags=re.S).splitlines():
            if heading := re.match(r"(#+) (.+)", line):
                anchor = make_id(re.sub(r"[`*]", "", heading[2]))
                book.headings.append(Heading(len(heading[1]), heading[2], anchor))
            for number in named(line).claims:
                if heading or number not in book.claims:
                    book.claims[number] = anchor
        book.equations += re.findall(r"\$\$(.+?)\$\$", text, flags=re.S)
    book.claims |= judged
    return book


def judged_in(cell: dict) -> list[int]:
    """The claims that a cell has put out something about, each under an anchor of its own: their numbers."""
    html = "".join("".join(output.get("data", {}).get("text/html", "")) for output in cell.get("outputs", []))
    return [int(number) for number in re.findall(r'id="claim-c(\d+)"', html)]


@cache
def modules() -> dict[str, Module]:
    """Every module of the package by name, from its text alone."""
    found = {}
    for name, file in provenance.modules().items():
        tree = ast.parse(file.read_text(encoding="utf-8"))
        definitions = {one.name: one for one in _definitions(tree.body)}
        found[name] = Module(name, file, ast.get_docstring(tree) or "", definitions)
    return found


def _definitions(body: list[ast.stmt], prefix: str = "") -> Iterator[Definition]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            name = prefix + node.name
            yield Definition(name, (first, node.end_lineno), ast.get_docstring(node) or "")
            if isinstance(node, ast.ClassDef):
                yield from _definitions(node.body, f"{name}.")
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [part for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)]
            for part in names:
                yield Definition(prefix + part.id, (node.lineno, node.end_lineno), "")


def public(module: Module) -> Iterator[Definition]:
    """A module's definitions but those whose names begin with an underscore."""
    return (one for one in module.definitions.values() if not re.search(r"(^|\.)_", one.name))


def place(path: str) -> tuple[Module, Definition | None]:
    """The module and definition that a dotted name means; raises KeyError where there is none."""
    parts = path.split(".")
    for cut in range(len(parts), 0, -1):
        if (module := modules().get(".".join(parts[:cut]))) is not None:
            rest = ".".join(parts[cut:])
            return module, module.definitions[rest] if rest else None
    raise KeyError(path)


@cache
def claims() -> dict[int, dict]:
    """The claims of the thesis by number, where the package holds their table: ``section`` and ``words``."""
    table = ROOT / "lib" / "octavoice" / "thesis" / "claims.toml"
    rows = tomllib.loads(table.read_text(encoding="utf-8")) if table.exists() else {}
    return {int(name.removeprefix("C")): row for name, row in rows.items()}


@cache
def verdicts() -> dict[int, str]:
    """The verdict on each claim by its number, as ``octavoice claims`` last computed them."""
    table = json.loads((ROOT / "results" / "thesis" / "claims.json").read_text(encoding="utf-8"))
    return {int(claim["id"].removeprefix("C")): claim["verdict"] for claim in table["claims"]}
