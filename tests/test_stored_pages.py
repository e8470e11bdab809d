"""Stored pages show the declared run as it is committed, and are compared at preset smoke."""

import ast
import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from octavoice import paths, provenance
from octavoice.errors import UserError
from octavoice.laboratory import drive, notebook, pages, showing
from octavoice.laboratory.shown import ShownRun
from octavoice.results import short_trainings
from octavoice.training import models, networks, presets

TABLE = re.compile(r'run\.write_table\("(\w+)", [^\n]*\)\.round\(3\)\)?,?$', re.MULTILINE)
"""A cell that shows a table of the run as it was written."""
LIMIT_MB = 1.75
GOOD = {"preset": "smoke", "corpus": "bach", "seed": 1, "device": "cpu", "overrides": {}}


FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
STARTING = [page for page in sorted(FOLDER.glob("*.ipynb")) if pages.shows(page)]
"""The notebooks of a run."""


@pytest.fixture(params=STARTING, ids=lambda page: page.stem)
def page(request):
    return request.param


def of_run(checkout):
    return checkout / "results" / pages.RUN["preset"] / pages.RUN["corpus"] / f"seed-{pages.RUN['seed']}"


def declared(page):
    """What a page says of the run that it shows, and the cells it has."""
    cells = [cell for cell in pages.read(page)["cells"] if cell["cell_type"] == "code"]
    outputs = [output for output in cells[-1]["outputs"] if "octavoice" in output["metadata"]]
    assert outputs, f"{page.name} shows no committed run: make notebooks ONLY={page.stem}"
    return outputs[-1]["metadata"]["octavoice"], cells


def test_a_page_shows_the_declared_run(page):
    facts, cells = declared(page)
    assert facts["run"] == pages.RUN
    (opening,) = (cell for cell in cells if "notebook.start(" in "".join(cell["source"]))
    settings = f"preset {pages.RUN['preset']} · corpus {pages.RUN['corpus']} · seed {pages.RUN['seed']} · "
    assert settings in "".join(opening["outputs"][0]["data"]["text/html"])


def test_what_a_page_was_read_from_is_what_is_committed(page, checkout):
    """After a run is published again, its pages are stale until ``make notebooks``."""
    files = json.loads((of_run(checkout) / "index.json").read_text())["files"]
    stale = {name for name, sha in declared(page)[0]["read"].items() if files.get(name) != sha}
    assert not stale, f"shows {', '.join(sorted(stale))} as published before: make notebooks ONLY={page.stem}"


def test_tables_on_a_page_are_the_committed_ones(page, checkout):
    for cell in declared(page)[1]:
        found = TABLE.search("".join(cell["source"]))
        path = found and of_run(checkout) / f"{found[1]}.csv"
        if path and path.exists():
            numbers = pd.read_csv(path).select_dtypes("float").to_numpy().ravel()
            shown = numbers_in("".join(cell["outputs"][-1]["data"]["text/html"]))
            assert not {round(x, 3) for x in numbers if x == x} - shown, found[1]


def numbers_in(html):
    return {float(text) for text in re.findall(r">(-?\d+(?:\.\d*)?(?:e[+-]\d+)?)<", html)}


def test_some_tables_on_pages_are_held_to_the_committed_ones(checkout):
    ends = [TABLE.search("".join(cell["source"])) for page in STARTING for cell in pages.read(page)["cells"]]
    assert sum((of_run(checkout) / f"{found[1]}.csv").exists() for found in ends if found) > 5


def test_comparing_cells_keep_what_smoke_puts_out_only_where_it_differs(page):
    for cell in pages.read(page)["cells"]:
        if pages.KEPT in cell["metadata"]:
            other = {"outputs": cell["metadata"][pages.KEPT]}
            assert pages.compares(cell)
            assert pages.said(other)
            assert pages.said(other) != pages.said(cell)
            assert {output["output_type"] for output in other["outputs"]} <= {"stream", "execute_result"}


def test_what_smoke_puts_out_is_kept_where_the_music_decides():
    assert sum(pages.KEPT in cell["metadata"] for cell in pages.read(FOLDER / "01_data.ipynb")["cells"]) > 10


PAGES = sorted(FOLDER.glob("*.ipynb"))
CUT = re.compile(r"<t[hd][^>]*>[^<]*\.\.\.</t[hd]>|\d+ rows [×x] \d+ columns|^\.\.\. |Length: \d+", re.MULTILINE)
"""Where pandas left out rows or columns, or cut a text."""
ODD = re.compile(r"<td>(?:NaN|nan|None|\[\])</td>|np\.\w+|>[^<]*\*\*[^<]*</t[hd]>")
"""What a reader of a table has no use for: numbers that are not there, names of numpy's, marks of Markdown."""


def shown_in(cell):
    """What a cell puts out as text or table, sounds and pictures left out."""
    said = [output.get("data", {}) or {"text/plain": output.get("text", "")} for output in cell.get("outputs", [])]
    texts = ["".join(data.get("text/html") or data.get("text/plain", "")) for data in said]
    return [re.sub(r"(?s)<(script|audio|svg).*?</\1>|data:[^\"')\s]+", "", text) for text in texts]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
@pytest.mark.parametrize("pattern", [CUT, ODD], ids=["cut", "odd"])
def test_pages_show_tables_whole_and_for_readers(page, pattern):
    for cell in pages.read(page)["cells"]:
        assert not [found[0] for text in shown_in(cell) for found in pattern.finditer(text)], cell["source"]


@pytest.mark.parametrize(("pattern", "text"), [
    (CUT, pd.DataFrame({"x": range(100)}).to_html(max_rows=10, show_dimensions="truncate")),
    (CUT, pd.DataFrame({"x": range(100)}).to_html(max_rows=10)), (CUT, "<td>a long te...</td>"),
    (CUT, str(pd.Series(range(100)).to_string(max_rows=4, length=True))), (ODD, "<td>NaN</td>"),
    (ODD, "{'a': np.False_}"), (ODD, "<td>**reproduced**</td>")])
def test_the_rules_of_tables_catch(pattern, text):
    assert pattern.search(text)


@pytest.mark.parametrize("text", [
    pd.DataFrame({"x": [1.5]}, index=["p(x | …)"]).to_html(), "numbers: 1, 2, …", "<td>–</td>"])
def test_the_rules_of_tables_let_pass_what_is_whole(text):
    assert not CUT.search(text)
    assert not ODD.search(text)


def test_tables_are_shown_whole():
    notebook.start("99_whole", GOOD)
    table = pd.DataFrame(1.0, index=range(200), columns=map(str, range(60))).assign(text="word " * 60)
    assert not CUT.search(table._repr_html_())
    assert table._repr_html_().count("<tr") >= 200


def test_texts_speak_of_no_preset_that_may_not_be_shown(page):
    """What a preset finds is said by what is computed; a text that tells of another is wrong for what stands beside it.
    """
    for cell in pages.read(page)["cells"]:
        if cell["cell_type"] == "markdown":
            assert not re.search(r"\b[Aa]t (?:preset )?`(?:smoke|quick)`", "".join(cell["source"]))


TRAINING = {"compare_forcing", "fit", "train_first_scheme", "train_joint", "train_on", "worth"}
"""Functions that train whatever is committed."""


def called(node):
    """Names of the functions that running a cell for a stored page calls."""
    if isinstance(node, (ast.Lambda, ast.FunctionDef)):
        return set()
    if isinstance(node, ast.IfExp) and ast.unparse(node.test) == "run.shown":
        return called(node.body)
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "only":
        return set().union(*(called(getattr(given, "body", given)) for given in node.args))
    own = {ast.unparse(node.func).rpartition(".")[2]} if isinstance(node, ast.Call) else set()
    return own.union(*map(called, ast.iter_child_nodes(node)))


def test_making_a_page_trains_nothing(page):
    """What trains is given to the run as a function, which it calls only where nothing is committed."""
    for cell in pages.read(page)["cells"]:
        if cell["cell_type"] == "code":
            source = "".join(cell["source"])
            assert not called(ast.parse(source)) & TRAINING, source


@pytest.mark.parametrize(("source", "found"), [
    ("run.write_table('a', parts.worth(run))", {"write_table", "worth"}), ("run.write_table('a', lambda: worth(run))",
                                                                           {"write_table"}),
    ("a = b() if run.shown else fit()", {"b"}), ("only('beyond', lambda: fit(), lambda: b())", {"fit", "b"}),
    ("only('beyond', lambda: run.write_table('a', lambda: fit()))", {"write_table"}),
    ("def f():\n    fit()\n\n\nf()", {"f"})])
def test_the_rule_of_pages_that_train_nothing_catches(source, found):
    assert called(ast.parse(source)) == found


def test_a_page_is_of_a_size_to_be_read(page):
    assert page.stat().st_size < LIMIT_MB * 2**20


def cell(source, text, **metadata):
    output = {"output_type": "stream", "name": "stdout", "text": [text]}
    return {"cell_type": "code", "source": [source], "metadata": metadata, "outputs": [output], "execution_count": 1}


def test_a_page_is_bound_and_given_back_to_compare(tmp_path):
    compared, plain, page = f"# {pages.COMPARED}", "1", tmp_path / "page.ipynb"
    shown = [cell(compared, "large", smoke=["of before"]), cell(compared, "same", smoke=["of before"]),
             cell(plain, "large")]
    smoke = [cell(compared, "small"), cell(compared, "same"), cell(plain, "small")]
    for name, cells in (("shown", shown), ("smoke", smoke)):
        pages.write({"cells": cells}, tmp_path / name)
    pages.bind(tmp_path / "shown", tmp_path / "smoke", page)
    bound = pages.read(page)["cells"]
    assert [pages.said(each) for each in bound] == [[["large"]], [["same"]], [["large"]]]
    assert [pages.KEPT in each["metadata"] for each in bound] == [True, False, False]
    pages.to_compare(page, tmp_path / "back")
    back = pages.read(tmp_path / "back")["cells"]
    assert [pages.said(each) for each in back] == [[["small"]], [["same"]], [["large"]]]
    assert not any(pages.KEPT in each["metadata"] for each in back)


def test_cells_that_no_longer_match_are_not_bound(tmp_path):
    for name, cells in (("shown", [cell("1", "a")]), ("smoke", [])):
        pages.write({"cells": cells}, tmp_path / name)
    with pytest.raises(ValueError, match="zip"):
        pages.bind(tmp_path / "shown", tmp_path / "smoke", tmp_path / "page")
    assert not (tmp_path / "page").exists()


def test_an_unknown_notebook_is_named():
    with pytest.raises(UserError, match="there is no notebook 11_more; there are 01_data, "):
        drive.notebooks(("01_data", "11_more"))


def test_nothing_is_stored_if_a_notebook_fails(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    for name in ("good", "bad"):
        pages.write({"cells": [cell("1", "before")]}, tmp_path / "notebooks" / f"{name}.ipynb")
    before = {path: path.read_bytes() for path in (tmp_path / "notebooks").iterdir()}
    monkeypatch.setattr(drive, "checkout", lambda: tmp_path)
    monkeypatch.setattr(drive, "tool", lambda *words, **settings: 1)
    assert drive.notebooks() == 1
    assert {path: path.read_bytes() for path in (tmp_path / "notebooks").iterdir()} == before


def test_what_makes_a_table_is_called_where_none_is_committed():
    run = notebook.start("99_lazy", GOOD)
    assert run.write_table("lazy", lambda: pd.DataFrame({"x": [1.0]})).x.tolist() == [1.0]
    assert run.write_json("lazy", lambda: {3: 1.0}) == {"3": 1.0}
    assert {"results/lazy.csv", "results/lazy.json"} <= run.files.keys()
    assert (run.shown, run.stored, run.read) == (False, None, {})
    assert run.showable is run.splits


@pytest.fixture
def shown(folder, tmp_path, monkeypatch):
    """A shown run of a checkout that holds a small committed one, on the chorales: networks, a table, facts."""
    results = tmp_path / "results" / "thesis" / "bach" / "seed-1"
    shutil.copytree(folder, results)
    stages = models.named("thesis").stages
    for stage in stages:
        pd.DataFrame({"train": [3.0]}, index=pd.Index([1], name="iteration")).to_csv(
            results / f"{stage.name}_metrics.csv")
    cost = {f"training, {stage.called}": {"iterations": 1, "seconds": 1.0} for stage in stages}
    (results / "index.json").write_text(json.dumps({"provenance": {"06_experiments": {"cost": cost}}}))
    table = pd.DataFrame({"x": [1.0, 2.0]}, index=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["n", "m"]))
    table.to_csv(results / "table.csv")
    (results / "facts.json").write_text('{"x": 1}')
    monkeypatch.setattr(paths, "checkout", lambda: tmp_path)
    run = ShownRun("99_shown", presets.resolve("thesis", files=24), "bach", 1, torch.device("cpu"))
    return run, results, table


def never():
    raise AssertionError("computed where it is committed")


def test_a_shown_run_reads_what_is_committed_and_computes_the_rest(shown):
    run, results, table = shown
    pd.testing.assert_frame_equal(run.write_table("table", never, levels=2), table)
    pd.testing.assert_frame_equal(run.write_table("table", table + 1), table)
    assert run.write_json("facts", never) == {"x": 1}
    assert run.write_json("others", lambda: {"y": 2}) == {"y": 2}
    assert set(run.read) == {"results/table.csv", "results/facts.json"}
    assert run.read["results/table.csv"] == provenance.sha256(results / "table.csv")


def test_a_shown_run_reads_its_networks(shown):
    run, results, _ = shown
    found = networks.obtain(run)
    assert run.found == ["training, main module", "training, decoder"]
    assert {"results/main.safetensors", "results/decoder.safetensors"} <= set(run.read)
    for networks_of in (found, run.stored):
        assert torch.equal(networks_of.generator.local_lstm.weight_ih_l0,
                           load_file(results / "main.safetensors")["local_lstm.weight_ih_l0"])


def test_a_shown_run_works_beside_the_run_itself(shown):
    run, *_ = shown
    assert run.dir.parent == paths.run_dir("thesis", "bach", 1)
    networks.obtain(run)
    assert not list(run.dir.parent.rglob("checkpoints"))


def test_a_shown_run_displays_no_music_of_its_corpus(shown, monkeypatch):
    run, *_ = shown
    said = []
    monkeypatch.setattr("octavoice.laboratory.shown.display", said.append)
    run.show(never, "music", "A piece.", corpus_music=True)
    assert [text.data for text in said] == ["*Left out of the page as stored, since it shows music of bach; run the "
                                            "notebook to see it. A piece.*"]
    assert not (run.dir / "figures").exists()


def test_a_page_that_trained_is_not_stored(shown):
    run, *_ = shown
    run.costs["training, another"] = {}
    with pytest.raises(UserError, match=r"99_shown trained \(training, another\)"):
        run.finish()


def test_the_environment_decides_what_is_shown(monkeypatch):
    assert notebook._asked() == (notebook.NotebookRun, {})
    monkeypatch.setenv(pages.SWITCH, "1")
    assert notebook._asked() == (ShownRun, pages.RUN)


def test_the_short_trainings_stored_for_03_and_04_are_told_with_their_scale(checkout):
    stored = json.loads((of_run(checkout) / "claims_rivals.json").read_text())
    tables, objectives = short_trainings.scheme_one()
    assert {name: table.iloc[:, 1].tolist() for name, table in tables.items()} == {
        name: row["pause"] for name, row in stored["scheme one"].items()}
    assert objectives.keys() == tables.keys()
    assert short_trainings.forcing().loc[("truth", 1), "log_likelihood"] == stored["levels"]["truth"]
    assert short_trainings.locks().loc["pieces with a repeat", "test"] > 0
    told = short_trainings.told(presets.resolve("thesis"), trainings=2)
    assert f"trainings of {stored['iterations']} iterations" in told
    assert re.search(r"about \d+ core-minutes", told)


def test_code_that_a_page_shows_is_the_code_as_it_stands():
    """Of 09, whose cells name functions and show their lines: made again when one of them changes."""
    cells = [cell for cell in pages.read(FOLDER / "09_survey.ipynb")["cells"] if cell["cell_type"] == "code"]
    names = {}
    for line in "\n".join("".join(cell["source"]) for cell in cells).splitlines():
        if line.startswith(("from octavoice.survey import", "from octavoice import rbm")):
            exec(line, names)
    asked = [cell for cell in cells if "".join(cell["source"]).startswith("lines_of(")]
    assert len(asked) > 5
    for cell in asked:
        call = ast.parse("".join(cell["source"])).body[0].value
        parts = [eval(compile(ast.Expression(part), "09", "eval"), names) for part in call.args]
        shown = ["".join(output["data"]["text/plain"]).rstrip() for output in cell["outputs"]]
        assert shown == [showing.source(part).data.rstrip() for part in parts]
