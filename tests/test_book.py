"""The book's sources: complete, and every link, name and equation in them leads somewhere. Nothing is built here but
where a browser is at hand: see tests/browser/check_book.py."""

import importlib
import importlib.util
import json
import re
import sys
import tomllib

import pytest

pytest.importorskip("docutils")


@pytest.fixture(scope="module")
def book(checkout):
    sys.path.insert(0, str(checkout / "book"))
    yield checkout / "book"
    sys.path.remove(str(checkout / "book"))


@pytest.fixture(scope="module")
def read(book):
    return importlib.import_module("binding.read")


@pytest.fixture(scope="module")
def write(book):
    return importlib.import_module("binding.write")


@pytest.fixture(scope="module")
def equations(book):
    return importlib.import_module("binding.equations")


@pytest.fixture(scope="module")
def texts(book):
    """Text of every page that is written by hand."""
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(book.glob("*.md"))}


@pytest.fixture(scope="module")
def prose(read, checkout):
    """Everything that docstrings and notebooks say, in lower case."""
    stored = [json.loads(path.read_text(encoding="utf-8")) for path in (checkout / "notebooks").glob("*.ipynb")]
    cells = [cell for notebook in stored for cell in notebook["cells"]]
    docs = [doc for module in read.modules().values()
            for doc in (module.doc, *(one.doc for one in module.definitions.values()))]
    return " ".join("\n".join([*docs, *("".join(cell["source"]) for cell in cells)]).lower().split())


def links(text: str) -> list[tuple[str, str, str]]:
    """``(scheme, path, anchor)`` of links to code and to pages."""
    return re.findall(r"\]\((code|page):([\w.]+)(?:#([\w.-]*))?\)", text)


def assert_led_somewhere(text: str, read):
    for scheme, path, anchor in links(text):
        if scheme == "code":
            read.place(f"{path}.{anchor}" if anchor else path)
        else:
            page = read.notebooks()[path]
            anchors = {heading.anchor for heading in page.headings} | set(page.claims.values())
            assert not anchor or anchor in anchors, (path, anchor)


def test_every_page_and_notebook_is_in_the_contents(texts, checkout):
    contents = re.findall(r"```\{toctree\}\n(.*?)```", texts["index"], flags=re.S)
    entries = {line for block in contents for line in block.splitlines() if line and not line.startswith(":")}
    assert texts.keys() - {"index"} == {entry for entry in entries if "/" not in entry}
    globs = [entry for entry in entries if "/" in entry]
    for path in (checkout / "notebooks").glob("*.ipynb"):
        assert sum((path.stem[0].isdigit()) == ("0-9" in pattern) for pattern in globs) == 1


def test_the_notebooks_are_read_where_they_are(book, checkout):
    assert (book / "notebooks").resolve() == checkout / "notebooks"


def test_links_written_by_hand_lead_somewhere(texts, read, write, book):
    for text in texts.values():
        assert_led_somewhere(write.led(text), read)
        for path in re.findall(r"\]\(((?!https?:|code:|page:)[^)#]+)\)", text):
            assert (book / path).exists(), path


@pytest.mark.parametrize("part", ["map", "figures", "claims", "equations", "glossary", "rooms", "notebooks",
                                  "verdicts"])
def test_links_that_are_generated_lead_somewhere(part, write, read):
    text = write.part(part)
    assert len(links(text)) > 5
    assert_led_somewhere(text, read)


def test_every_mark_names_a_part(texts, book, write):
    pattern = importlib.import_module("binding").MARK
    asked = [mark for text in texts.values() for mark in pattern.findall(text)]
    assert {name for name, _ in asked} == write.PARTS.keys()
    assert sum(text.count("<!-- generated") for text in texts.values()) == len(asked)
    for name, argument in asked:
        if name == "player":
            assert (book.parent / argument.split(" | ")[0]).exists()


def test_every_section_with_a_page_is_on_the_map(write, read):
    text = write.part("map")
    for number in set().union(*(notebook.opening.sections for notebook in read.notebooks().values())):
        assert f"§{number} " in text
    assert "(page:03_main_module)" in text.split("## §6.3")[1].split("## §")[0]
    assert "(code:octavoice.thesis.voices)" in text.split("## §6.4")[1].split("## §")[0]


NUMBERS = [f"{chapter}.{part}" for chapter, parts in ((2, 2), (3, 4), (4, 6), (5, 8), (6, 4), (7, 4))
           for part in range(1, parts + 1)] + ["8"]


def test_every_section_of_the_thesis_has_a_row(write, read):
    """With what belongs to it, or what is not built; §8 sums up."""
    entries = dict(re.findall(r"^## §([\d.]+) (.*?)(?=^## |\Z)", write.part("map"), flags=re.M | re.S))
    assert [number for number in entries if "." in number or number == "8"] == NUMBERS
    for number in NUMBERS[:-1]:
        left = read.sections()[number].get("not-built-yet", "")
        assert "(page:" in entries[number] or "(code:" in entries[number] or left, number
        assert (f"Not built yet\n: {left}" in entries[number]) == bool(left)
    for number in ("4.5", "4.6", "5.4", "5.5", "5.7", "5.8"):
        links = "(page:" in entries[number] or "(code:" in entries[number]
        assert links != ("Not built yet" in entries[number]), f"§{number}: built, or not built yet?"


def test_every_figure_of_the_thesis_has_a_row(write, read):
    rows = dict(re.findall(r"^\| Fig\. (\d+) \| (.*)", write.part("figures"), flags=re.M))
    assert list(rows) == [str(number) for number in range(1, 20)]
    drawn = set().union(*(notebook.figures for notebook in read.notebooks().values()))
    assert {int(number) for number, row in rows.items() if "(page:" in row} == drawn & set(range(1, 20))
    assert all(("(page:" in row) != ("not built yet" in row) for row in rows.values())


def test_the_glossary_says_what_is_not_built(write, read):
    terms = read.data("glossary")["term"]
    left = [term for term in terms if "code" not in term]
    assert write.part("glossary").count("not built yet") == len(left)
    for number in (number for number, section in read.sections().items() if "not-built-yet" in section):
        assert number in {term["where"] for term in left}, number
    assert len({term["where"] for term in terms} & set(NUMBERS)) == len(NUMBERS) - 1  # all but §8


@pytest.mark.parametrize(("text", "sections", "figures", "claims"), [
    ("§6.2–6.4 and a remark of §5.6", {"6.2", "6.3", "6.4", "5.6"}, set(), set()),
    ("§6.2, 7.4", {"6.2", "7.4"}, set(), set()),
    ("(thesis §6, Figs. 11 and 18)", {"6"}, {11, 18}, set()),
    ("Figs. 15–17, for C5–C8 and C12", set(), {15, 16, 17}, {5, 6, 7, 8, 12}),
    ("a CD-1 step, C major, 100 %, MIDI 108 (C8)", set(), set(), set()),
])
def test_what_a_text_names(text, sections, figures, claims, read):
    found = read.named(text)
    assert (set(found.sections), set(found.figures), set(found.claims)) == (sections, figures, claims)


def test_glossary_names_exist_and_its_words_are_used(read, prose):
    terms = read.data("glossary")["term"]
    assert len({(term["ru"], term["en"]) for term in terms}) == len(terms)
    assert {term["where"] for term in terms} <= read.sections().keys()
    assert {term["where"].split(".")[0] for term in terms} == {"2", "3", "4", "5", "6", "7"}
    for term in (term for term in terms if "code" in term):
        read.place(term["code"])
        assert term["en"].lower() in prose, term["en"]


def test_glossary_names_can_be_imported(read):
    for path in {term["code"] for term in read.data("glossary")["term"] if "code" in term}:
        module, definition = read.place(path)
        thing = importlib.import_module(module.name)
        for name in definition.name.split(".") if definition else []:
            thing = thing.__dataclass_fields__[name] if name in getattr(thing, "__dataclass_fields__", {}) else \
                getattr(thing, name)


def test_every_equation_is_known_and_every_row_is_an_equations(read, equations):
    used = set()
    for notebook in read.notebooks().values():
        for tex in notebook.equations:
            row = equations.row_of(tex, notebook.name)
            assert row is not None, f"book/data/equations.toml lacks {tex} of {notebook.name}"
            for path in row["code"]:
                text, page, anchor = equations.link(path)
                assert anchor in read.modules()[page.removeprefix("code/")].definitions
                assert "line" in text
            used.add(next(row["tex"] for row in read.data("equations")["equation"]
                          if row["page"] == notebook.name and row["tex"] in tex))
    assert used == {row["tex"] for row in read.data("equations")["equation"]}


WORDS = re.compile(r"\\(text|mathrm|mathbb|operatorname|tag)\{[^}]*\}")
FOUND = re.compile(r"\\(theta|sigma|eta|tau|varepsilon)\b|\\[a-zA-Z]+|([A-Za-z])")
EVERYWHERE = {"t", "e", "p"}
"""A step, the number e, and a probability where nothing else is said."""


def letters(tex):
    """The letters of a formula that stand for something: no commands, no words."""
    return {found[1] or found[2] for found in FOUND.finditer(WORDS.sub("", tex)) if found[1] or found[2]}


def test_symbols_are_named_beside_every_equation(read, equations):
    """Every letter of a formula is in some symbol that is explained, but for those that only count."""
    assert letters(r"x_t = \mathrm{LSTM}(\tau)\,\sum_{h\in H} \text{none}") == {"x", "t", "tau", "h", "H"}
    for notebook in read.notebooks().values():
        for tex in notebook.equations:
            said = equations.row_of(tex, notebook.name)["symbols"]
            assert said.count("$") % 2 == 0
            named = set().union(*(letters(symbol) for symbol in said.split("$")[1::2]))
            assert letters(tex) - named <= EVERYWHERE, (tex, letters(tex) - named)


@pytest.mark.parametrize(("forms", "stem"), [
    ("голос голоса голосов голосами", "голос"), ("октава октавы октаву октавами", "октав"),
    ("сжатие сжатия сжатием", "сжат"), ("затравка затравки затравку", "затравк"),
    ("voice voices", "voic"), ("sampled samples sampling", "sampl")])
def test_the_search_knows_words_in_all_their_forms(book, forms, stem):
    search = importlib.import_module("binding.search").BothLanguages({})
    assert {search.stem(form) for form in forms.split()} == {stem}
    assert search.stem(stem.upper()) == search.stem(stem)
    assert search.js_stemmer_code.count("var RussianStemmer") == search.js_stemmer_code.count("var EnglishStemmer") == 1


def test_lines_are_those_of_the_definition(read):
    module, definition = read.place("octavoice.thesis.attention.MainModule.forward")
    first, last = definition.lines
    text = module.file.read_text(encoding="utf-8").splitlines()
    assert text[first - 1].strip().startswith("def forward(")
    assert text[last - 1].strip().startswith("return features")


def test_a_page_of_code_has_an_anchor_for_every_definition(book, read):
    code = importlib.import_module("binding.code")
    module = read.modules()["octavoice.thesis.attention"]
    lines = len(module.file.read_text(encoding="utf-8").splitlines())
    shown = "<pre>" + "".join(f'<span id="L-{n}">{n}\n</span>' for n in range(1, lines + 1)) + "</pre>"
    anchored = code.anchored(shown, module)
    assert anchored.count("<span") == anchored.count("</span>")
    for name, definition in module.definitions.items():
        start = anchored.index(f'<span class="definition" id="{name}">')
        assert anchored.find(f'<span id="L-{definition.lines[0]}">') >= start


def test_figures_11_to_13_show_the_live_widths():
    from octavoice.laboratory import schemes
    from octavoice.thesis.decoder import Decoder
    from octavoice.thesis.generator import OctaveGenerator

    generator = OctaveGenerator(voices=3, sampler_hidden=77, features=61, periods=(4, 8, 24))
    figures = [schemes.whole_model(generator, Decoder(hidden=19, lstm=53)), schemes.main_module(generator),
               schemes.sampler(generator.sampler)]
    words = [" ".join(text.get_text() for text in figure.axes[0].texts) for figure in figures]
    for number in ("3 voices", "3 periods", "77", "61", "53", "19 × 88", "{88}"):
        assert number in words[0], number
    assert "{4, 8, 24}" in words[1]
    assert "61" in words[1]
    assert "voice 3" in words[2]
    assert "voice 4" not in words[2]


def test_links_to_files_of_the_checkout_lead_into_the_book(write):
    text = "[a](../lib/octavoice/training/presets.py), [b](../notebooks/06_experiments.ipynb#fig-14), [c](../NOTICE.md)"
    assert write.led(text) == "[a](code:octavoice.training.presets), [b](page:06_experiments#fig-14), [c](notice.md)"
    assert write.led("![d](../figures/e.png)") == "![d](../figures/e.png)"


def test_every_claim_has_its_verdict_on_the_first_page(write, checkout):
    committed = json.loads((checkout / "results" / "thesis" / "claims.json").read_text(encoding="utf-8"))["claims"]
    rows = {row.split(" | ")[0].strip("| *"): row for row in write.part("verdicts").splitlines()[2:]}
    for claim in committed:
        assert f"[{claim['id']}](page:" in rows[claim["verdict"]]
    assert sum(int(row.split(" | ")[1]) for row in rows.values()) == len(committed)


def test_links_of_a_claim_lead_to_its_verdict(write, read, checkout):
    """The card in 10, where every claim has an anchor; on the claims' page every row has one, too."""
    committed = json.loads((checkout / "results" / "thesis" / "claims.json").read_text(encoding="utf-8"))["claims"]
    rows, elsewhere = write.part("claims").splitlines()[2:], write.part("verdicts") + write.part("map")
    pages = read.notebooks()
    for claim, row in zip(committed, rows, strict=True):
        anchor = f"claim-{claim['id'].lower()}"
        assert pages["10_verdicts"].claims[int(claim["id"][1:])] == anchor
        assert row.startswith(f"| [{claim['id']}](page:10_verdicts#{anchor}){{#{anchor}}} |")
        assert f"[{claim['id']}](page:10_verdicts#{anchor})" in elsewhere


def test_links_in_what_a_notebook_puts_out_lead_to_pages_of_the_book(book):
    from docutils import nodes

    binding = importlib.import_module("binding")
    raw = nodes.raw("", '<a href="10_verdicts.ipynb#claim-c8">a</a> <a href="x.html">b</a>', format="html")
    binding.lead_on(None, nodes.container("", raw), "notebooks/03_main_module")
    assert raw.astext() == '<a href="10_verdicts.html#claim-c8">a</a> <a href="x.html">b</a>'


def test_the_extra_asks_no_network_for_mathjax(checkout):
    extra = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]["optional-dependencies"]["book"]
    assert any(line.startswith("sphinx-mathjax-offline") for line in extra)
    assert "sphinx-mathjax-offline" in (checkout / "book" / "conf.py").read_text()


def test_in_a_browser(checkout):
    """The site of the last ``make book``, if there is one and a browser to look at it."""
    pytest.importorskip("playwright", reason="needs pip install playwright")
    spec = importlib.util.spec_from_file_location("check_book", checkout / "tests" / "browser" / "check_book.py")
    check_book = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(check_book)
    if check_book.chromium() is None:
        pytest.skip("needs a Chromium")
    if not (checkout / "runs" / "book" / "index.html").exists():
        pytest.skip("needs the site: make book")
    site = checkout / "runs" / "book"
    assert check_book.check(site, names=check_book.pages(site, modules=3)) == []
