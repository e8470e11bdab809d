"""The rules every notebook keeps (thin, literal parameters, fresh and portable outputs)."""

import ast
import json
import re
from functools import cache, partial
from pathlib import Path
from statistics import median

import nbformat
import pytest
from nbformat import v4

from octavoice.laboratory import graph, pages, validity
from octavoice.laboratory.handover import NOTEBOOKS

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))
BESIDE = {"compose", "listening_test", "sweep"}
"""Notebooks beside the thesis's, which the graph of one run does not have; their parameters are their own."""
# A path of somebody's machine, at the start of a word: /home/…, /tmp/…, C:\…
MACHINE_PATH = re.compile(
    r"(?<![\w.\])}/])(?:/(?:home|Users|root|tmp|private|var|mnt|opt|srv|usr|etc|proc)/|[A-Z]:\\\w|~/)"
)
WARNING = re.compile(r"\b(?:[A-Z]\w+)?Warning: ")


read = cache(partial(nbformat.read, as_version=4))


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def notebook(request):
    return read(request.param)


@pytest.fixture
def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def lines(source: str) -> int:
    """Lines of code, blank ones and comments left out."""
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in source.splitlines())


def texts(cell) -> list[str]:
    """Everything readable that a cell has put out; embedded pictures and sounds left out."""
    found = []
    for output in [*cell.get("outputs", []), *cell.metadata.get(pages.KEPT, [])]:
        data = output.get("data", {}).items()
        found += [output.get("text", "")] + [value for kind, value in data if kind.startswith("text/") or "svg" in kind]
        found += [json.dumps(value) for kind, value in data if kind.startswith("application/")]
    return [re.sub(r"data:[^\"')\s]+", "", "".join(text)) for text in found]


def unclean(notebook) -> list[str]:
    """What nobody should have stored: errors, warnings and progress bars, paths of a machine, anywhere in outputs."""
    found = [f"{key} in the notebook's metadata" for key in ("papermill", "widgets") if key in notebook.metadata]
    for cell in notebook.cells:
        outputs = [*cell.get("outputs", []), *cell.metadata.get(pages.KEPT, [])]
        kinds = {output.get("name", output["output_type"]) for output in outputs}
        found += [f"{kind} below {cell.source[:60]!r}" for kind in sorted(kinds & {"error", "stderr"})]
        found += [f"{match[0]} below {cell.source[:60]!r}" for text in texts(cell)
                  for match in (MACHINE_PATH.search(text), WARNING.search(text)) if match]
    return found


def test_the_notebooks_are_the_ones_the_workflow_runs():
    assert {path.stem for path in PATHS} - BESIDE in (set(NOTEBOOKS), set())


def test_the_graph_trains_before_the_notebooks_that_need_networks():
    training = re.compile(r"networks\.obtain\(|networks_of\(|beside\.pair\(")
    asking = {path.stem for path in PATHS if training.search(path.read_text())}
    assert asking - BESIDE == set(validity.TAUGHT)
    assert all(graph.parameters(name)["model"] == taught[-1] for name, taught in validity.TAUGHT.items())


def test_first_cell_names_the_section_of_the_thesis(notebook):
    assert notebook.cells[0].cell_type == "markdown"
    assert "§" in notebook.cells[0].source


def test_one_parameters_cell_of_literals(code, request):
    cells = [cell for cell in code if "parameters" in cell.metadata.get("tags", [])]
    assert len(cells) == 1
    values = {}
    for statement in ast.parse(cells[0].source).body:
        assert isinstance(statement, ast.Assign), ast.unparse(statement)
        (target,) = statement.targets
        values[target.id] = ast.literal_eval(statement.value)
    if request.node.callspec.id not in BESIDE:
        assert {"preset": "smoke", "corpus": "bach", "seed": 1, "device": "auto"}.items() <= values.items()


def test_code_is_plain_python(code):
    """No % or ! magics: each cell parses."""
    for cell in code:
        ast.parse(cell.source)


def test_code_is_thin(code):
    for node in (node for cell in code for node in ast.walk(ast.parse(cell.source))):
        assert not isinstance(node, ast.ClassDef), node.name
        if isinstance(node, ast.FunctionDef):
            assert lines(ast.unparse(node)) <= 10, node.name
    assert median(lines(cell.source) for cell in code) < 8


def test_code_stays_where_it_is(notebook, code):
    for cell in notebook.cells:
        assert "../" not in cell.source
        assert not MACHINE_PATH.search(cell.source), cell.source
    for cell in code:
        assert "chdir" not in cell.source
        literals = [node.value for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Constant)]
        assert not [text for text in literals if isinstance(text, str) and re.match(r"(/|~/)\w", text)], cell.source


def test_no_cell_ends_in_a_semicolon(code):
    """It does not silence output under nbval."""
    for cell in code:
        assert not cell.source.rstrip().endswith(";"), cell.source


def test_compared_cells_have_stored_output(code):
    """nbval passes a cell marked for comparison silently if nothing is stored."""
    for cell in code:
        if "NBVAL_CHECK_OUTPUT" in cell.source:
            assert cell.outputs, cell.source


def test_stored_outputs_are_clean_and_portable(notebook):
    """No errors, no warnings or progress bars (`make notebooks` stores none), no path of a machine."""
    assert not unclean(notebook)


OUTPUTS = {
    "an error": v4.new_output("error", ename="ValueError", evalue="no", traceback=[]),
    "a warning": v4.new_output("stream", name="stderr", text="careful"),
    "a printed warning": v4.new_output("stream", name="stdout", text="x.py:3: UserWarning: careful\n"),
    "a path": v4.new_output("stream", name="stdout", text="written to /home/me/x.png"),
    "a path in a table": v4.new_output("display_data", data={"text/html": "<td>C:\\me</td>"}),
    "a path in a drawing": v4.new_output("execute_result", data={"image/svg+xml": "<text>/tmp/x</text>"}),
    "a path in data": v4.new_output("display_data", data={"application/json": {"file": "/home/x"}})}


@pytest.mark.parametrize("output", OUTPUTS.values(), ids=OUTPUTS)
def test_the_rule_of_clean_outputs_catches(output):
    assert len(unclean(v4.new_notebook(cells=[v4.new_code_cell("cell", outputs=[output])]))) == 1


def test_the_rule_of_clean_outputs_lets_pass_what_is_clean():
    outputs = [v4.new_output("stream", name="stdout", text="runs/smoke: 3/4 done, see notebooks/ or https://x.org/tmp/"),
               v4.new_output("display_data", data={"text/html": '<img src="data:image/png;base64,/tmp/AAAA">'})]
    assert not unclean(v4.new_notebook(cells=[v4.new_code_cell("cell", outputs=outputs)]))


def test_kernel_is_the_environments_own(notebook):
    """A kernel named after somebody's environment starts nowhere else."""
    assert notebook.metadata.kernelspec.name == "python3"
