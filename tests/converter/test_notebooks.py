"""Notebooks: joined, converted, and taken apart again; what only IPython runs is kept, said in Python, or refused."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from notebooks import MARKDOWN, cell_programs, notebook, program, sources
from trajectory import difference, run

from litify_converter.cells import as_notebook
from litify_converter.convert import Conversion, convert, convert_script
from litify_converter.notebook import join_file
from litify_converter.read import parse
from litify_converter.refusals import AlreadyConverted, NothingToConvert, Refusal, UnreadableScript
from litify_converter.report import as_json, as_text
from litify_linter import lint_text

CASES = Path(__file__).parent / "cases"
SCRIPTS = sorted(CASES.glob("*.py"))
NOTEBOOKS = sorted(p for p in (CASES / "notebooks").glob("*.ipynb") if not p.stem.endswith("_lit"))

IMPORTS = "import torch\nfrom torch import nn"
DATA = "torch.manual_seed(0)\nx = torch.randn(8, 3)\ny = x.sum(1, keepdim=True)\nnet = nn.Linear(3, 1)"
OPTIMIZER = "optimizer = torch.optim.SGD(net.parameters(), lr=0.1)\nlosses = []"
LOOP = """\
for epoch in range(3):
    optimizer.zero_grad()
    loss = ((net(x) - y) ** 2).mean()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
print("R:", losses[-1])"""
CELLS = (IMPORTS, DATA, OPTIMIZER, LOOP)


def written(folder: Path, *cells: str, name: str = "fit.ipynb") -> Path:
    path = folder / name
    path.write_text(notebook(*cells))
    return path


def converted(folder: Path, *cells: str, to_notebook: bool = False) -> Conversion:
    return convert(written(folder, *cells), to_notebook=to_notebook)


def check_same_steps(folder: Path, *cells: str) -> tuple[str, str]:
    """Both results take the steps of the notebook; returns them."""
    raw = run(join_file(written(folder, *cells)).text)
    assert raw.error is None and raw.steps
    script = converted(folder, *cells).text
    again = as_notebook(converted(folder, *cells, to_notebook=True))
    assert difference(raw, run(script)) is None
    assert difference(raw, run(program(again))) is None
    return script, again


# -- whole notebooks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_golden_notebook(path: Path, request: pytest.FixtureRequest) -> None:
    """Beside each notebook stand its two conversions; both are clean, and have nothing left to convert."""
    golden = {".py": convert(path).text, ".ipynb": as_notebook(convert(path, to_notebook=True))}
    assert sources(golden[".ipynb"])
    for suffix, text in golden.items():
        file = path.with_name(f"{path.stem}_lit{suffix}")
        if request.config.getoption("--rewrite-golden"):
            file.write_text(text)
        assert text == file.read_text()
        assert [f"{f.code} {f.message}" for f in lint_text(text, str(file))] == []
        with pytest.raises(AlreadyConverted):
            convert(file)


def test_the_cells_stay_the_users(tmp_path: Path) -> None:
    """Kernel, tags and ids stay; what convert wrote stands in cells of its own; outputs go."""
    path = written(tmp_path, f"{MARKDOWN}# Fit", *CELLS, f"{MARKDOWN}## After", "losses[-1]", "")
    text = as_notebook(convert(path, to_notebook=True))
    before, after = json.loads(path.read_text()), json.loads(text)
    assert after["metadata"] == before["metadata"]
    cells = sources(text)
    assert cells[0] == f"{MARKDOWN}# Fit"
    assert cells[1] == f"{IMPORTS}\nfrom litify import LightningModule, Trainer"
    assert cells[-2:] == [f"{MARKDOWN}## After", "losses[-1]"]
    assert cells[3].startswith("class LitFit(LightningModule):")
    assert cells[4] == "model = LitFit()\nlosses = []"
    assert cells[5].startswith("trainer = Trainer(max_epochs=3") and "trainer.fit(model, " in cells[5]
    assert [c["id"] for c in after["cells"]] == [
        "cell-1",
        "cell-2",
        "cell-3",
        "litify-1",
        *(f"cell-{n}" for n in range(4, 8)),
    ]
    kept = [c for c in after["cells"] if not c["id"].startswith("litify-")]
    assert all(c["metadata"] == {"tags": [f"t{c['id'].removeprefix('cell-')}"]} for c in kept)


def test_a_notebook_without_ids_gets_none(tmp_path: Path) -> None:
    path = tmp_path / "old.ipynb"
    path.write_text(notebook(*CELLS, minor=2))
    assert "Trainer(" in "".join(sources(as_notebook(convert(path, to_notebook=True))))


@pytest.mark.parametrize(
    "cells",
    [
        CELLS,
        ("\n".join(CELLS),),
        (*CELLS, "net = nn.Linear(3, 1)\n" + OPTIMIZER, LOOP),  # trains a second model under the same names
        (*CELLS, "optimizer = torch.optim.Adam(net.parameters())", LOOP),  # and one model twice
        (IMPORTS, "%matplotlib inline", DATA, OPTIMIZER, f"%%time\n{LOOP}", "losses[-1]", "net"),
        (
            IMPORTS,
            DATA + "\nx.shape",
            OPTIMIZER,
            "import os\nif os.sep == '\\\\':\n    !dir\nelse:\n    !ls",
            LOOP,
        ),
        (
            IMPORTS,
            DATA,
            f"def fit(net, epochs):\n    {OPTIMIZER}\n    ".replace("\nlosses", "\n    losses")
            + LOOP.replace("range(3)", "range(epochs)").replace("\n", "\n    "),
            "%time fit(net, 3)",
        ),
    ],
    ids=["plain", "one cell", "second model", "twice", "magics", "blocks", "function"],
)
def test_same_steps(tmp_path: Path, cells: tuple[str, ...]) -> None:
    """Promise 1, for the script and for the notebook, run cell by cell."""
    try:
        check_same_steps(tmp_path, *cells)
    except Refusal as refusal:
        assert refusal.code in ("LC201", "LC206"), refusal


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_split_into_cells_gives_the_same_script(tmp_path: Path, data: st.DataObject) -> None:
    """A notebook is its code: where it is cut into cells changes blank lines at most."""
    path = data.draw(st.sampled_from(SCRIPTS))
    source = path.read_text().partition("# output\n")[0]
    tree = ast.parse(source)
    lines = source.split("\n")
    places = [s.lineno - 1 for s in tree.body[1:] if not getattr(s, "decorator_list", None)]
    cuts = sorted(data.draw(st.sets(st.sampled_from(places)))) if places else []
    cells = ["\n".join(lines[a:b]) for a, b in zip([0, *cuts], [*cuts, len(lines)], strict=True)]
    assert all(ast.parse(cell) for cell in cells)
    text = convert(written(tmp_path, *cells, name=f"{path.stem}.ipynb")).text
    expected = convert_script(parse(source, tmp_path / path.name)).text
    assert _without_blank_lines(text) == _without_blank_lines(expected)


def _without_blank_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


# -- IPython's lines -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "line", "told"),
    [
        ("%matplotlib inline", "# %matplotlib inline", "non-essential: `%matplotlib inline` is kept as a comment: a setting"),
        ("!pip install a \\\n  b", "# !pip install a \\", "needs a look: `!pip install a` is kept as a comment: a shell command"),
        ("pip install a", "# pip install a", "needs a look: `pip install a` is kept"),
        ("?print", "# ?print", "non-essential: `?print` is kept as a comment: help"),
        ("print??", "# print??", "non-essential: `print??` is kept"),
        ("%cd data", 'os.chdir("data")', "research: `%cd data` is now Python: the script changes to it"),
        ("%env A=1 2", 'os.environ["A"] = "1 2"', "research: `%env A=1 2` is now Python"),
        ("%env A", "# %env A", "it only shows something"),
        ("%time print(1)", "print(1)", "engineering: `%time print(1)` is now Python: the statement runs without it"),
        ("%%time\nprint(1)", "# %%time", "engineering: `%%time` is kept as a comment: the cell runs without it"),
        ("%%capture\nprint(1)", "print(1)", "`%%capture` is kept as a comment: what the cell prints is shown"),
        ("%%bash\nls\n\nfor x", "# for x", "needs a look: `%%bash` is kept as a comment"),
        ("%%html\n<b>", "# <b>", "non-essential: `%%html` is kept as a comment: it only shows something"),
        ("if x is None:\n    !ls", "    pass  # !ls", "needs a look: `!ls` is kept as a comment"),
        ("x.shape", None, "`x.shape` is left out: it was there for the notebook to show"),
        ("display(x)", "from IPython.display import display", "needs a look: display() is imported from IPython"),
    ],
)  # fmt: skip
def test_what_becomes_of_a_line(tmp_path: Path, command: str, line: str | None, told: str) -> None:
    conversion = converted(tmp_path, IMPORTS, DATA, command, OPTIMIZER, LOOP)
    report = as_text(conversion, Path("out.py"))
    assert told in report
    at = next(one for one in report.splitlines() if told in one)
    assert at.startswith("  fit.ipynb:cell 3:") or "display" in command
    lines = [one.strip() for one in conversion.text.splitlines()]
    if line is None:
        assert command not in lines
    else:
        assert line.strip() in lines
    assert "os." not in conversion.text or "import os" in lines


@pytest.mark.parametrize(
    "command",
    ["%matplotlib inline", "!pip install a \\\n  b", "?print", "%%bash\nls", "%%html\n<b>", "# only this"],
)
def test_a_line_comes_back_in_a_notebook(tmp_path: Path, command: str) -> None:
    conversion = converted(tmp_path, IMPORTS, DATA, command, OPTIMIZER, LOOP, to_notebook=True)
    assert command in sources(as_notebook(conversion))
    assert command.splitlines()[0] not in as_text(conversion, Path("out.ipynb"))


@pytest.mark.parametrize("at", range(4))
def test_a_line_comes_back_within_its_cell(tmp_path: Path, at: int) -> None:
    """Before or behind the statements of any cell, also of those that become methods."""
    for cell in (f"!nvidia-smi\n{CELLS[at]}", f"{CELLS[at]}\n!nvidia-smi"):
        cells = [*CELLS[:at], cell, *CELLS[at + 1 :]]
        text = as_notebook(converted(tmp_path, *cells, to_notebook=True))
        found = [line for one in sources(text) for line in one.splitlines()]
        assert found.count("!nvidia-smi") == 1
        loop = next(number for number, line in enumerate(found) if "trainer.fit(" in line)
        assert (found.index("!nvidia-smi") < loop) == (at < 3 or cell.startswith("!"))


def test_timing_of_a_cell_stays_first(tmp_path: Path) -> None:
    text = as_notebook(converted(tmp_path, IMPORTS, DATA, OPTIMIZER, f"%%time\n{LOOP}", to_notebook=True))
    cell = next(one for one in sources(text) if "trainer.fit(" in one)
    assert cell.startswith("%%time\n")


@pytest.mark.parametrize(
    ("command", "message", "line"),
    [
        ("%run other.py", "`%run other.py`: it runs another file in this program", 2),
        ("files = !ls", "`files = !ls`: what it gives is known only when it has run", 2),
        ("v = %timeit -o f()", "`v = %timeit -o f()`: what it gives", 2),
        ("%timeit net(x)", "`%timeit net(x)`: how often it runs its code", 2),
        ("%load other.py", "`%load other.py`: what it does to the program can't be told", 2),
        ("%cd $HOME", "`%cd $HOME`: the folder", 2),
        ("%env A=$B", "`%env A=$B`: what it sets", 2),
        ("await f()", "`await` outside of a function", 2),
        ("print(_)", "`_` is what IPython keeps", 2),
        ("print(Out[3])", "`Out` is what IPython keeps", 2),
        ("get_ipython().system('ls')", "get_ipython() is known in a notebook only", 2),
        ("%%writefile a.py\nx = 1", "`%%writefile a.py`: the file that it writes", 1),
        ("%%cython\nx = 1", "`%%cython`: its cell is not Python of this program", 1),
        ("%%capture out\nprint(1)", "`out` is bound by `%%capture out`", 5),
    ],
)
def test_what_can_not_be_known_is_refused(tmp_path: Path, command: str, message: str, line: int) -> None:
    if not command.startswith("%%"):
        command = f"z = 1\n{command}"
    last = f"{OPTIMIZER}\nprint(out)" if "out\n" in command else OPTIMIZER
    with pytest.raises(Refusal) as refusal:
        converted(tmp_path, IMPORTS, DATA, command, last, LOOP)
    assert refusal.value.code == "LC209"
    assert str(refusal.value).startswith(message)
    assert (refusal.value.cell, refusal.value.line) == ((4, 3) if "out\n" in command else (3, line))
    with pytest.raises(NothingToConvert):  # where nothing trains, that is what is said
        converted(tmp_path, IMPORTS, DATA, command)


def test_a_written_file_can_stay_in_a_notebook(tmp_path: Path) -> None:
    cells = (IMPORTS, "%%writefile a.txt\nx = 1", *CELLS[1:])
    text = as_notebook(converted(tmp_path, *cells, to_notebook=True))
    assert cells[1] in sources(text)


def test_other_refusals_name_the_cell(tmp_path: Path) -> None:
    with pytest.raises(Refusal) as refusal:
        converted(tmp_path, *CELLS[:3], LOOP.replace("range(3)", "schedule()"))
    assert (refusal.value.code, refusal.value.cell, refusal.value.line) == ("LC203", 4, 1)


def test_the_report_names_cells(tmp_path: Path) -> None:
    conversion = converted(tmp_path, *CELLS)
    assert "fit.ipynb:cell 4:4: engineering: the Trainer does zero_grad" in as_text(conversion, Path("o.py"))
    notes = json.loads(as_json(conversion, Path("o.py")))["notes"]
    assert {(n["cell"], n["line"]) for n in notes} >= {(4, 4)}


def test_cells_run_in_another_order_are_told(tmp_path: Path) -> None:
    path = written(tmp_path, *CELLS)
    path.write_text(path.read_text().replace('"execution_count": 3', '"execution_count": 9'))
    report = as_text(convert(path), Path("o.py"))
    assert "fit.ipynb:cell 4:1: needs a look: this cell was run as number 4, one above it as 9" in report


# -- what is no notebook of Python ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message", "cell", "line"),
    [
        ("", "no Jupyter notebook", None, None),
        ('{"cells": [', "no Jupyter notebook", None, None),
        ('{"worksheets": [], "nbformat": 3}', "a notebook of version 3", None, None),
        (notebook("x <- 3", language="R"), "the notebook's language is r, not Python", None, None),
        (notebook(), "the notebook has no code", None, None),
        (notebook(f"{MARKDOWN}x", "", " \n"), "the notebook has no code", None, None),
        (notebook("x = 1", "%time x\ny = ("), "syntax error", 2, 2),
        (notebook("y = (", "1)"), "syntax error", 1, 1),
        (notebook("x = 1\nprint 'a'"), "Python 2 code", 1, 2),
    ],
)
def test_unreadable(tmp_path: Path, text: str, message: str, cell: int | None, line: int | None) -> None:
    path = tmp_path / "a.ipynb"
    path.write_text(text)
    with pytest.raises(UnreadableScript) as error:
        convert(path)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)
    assert (error.value.cell, error.value.line) == (cell, line)


@pytest.mark.parametrize(
    ("cells", "text"),
    [
        (("  x = 1\n  y = 2",), "x = 1\ny = 2\n"),
        (("x = 1", "from __future__ import division, annotations\ny = 2"), "from __future__ import annotations\nx = 1\n\n\ny = 2\n"),
        (('"""Doc."""\nfrom __future__ import annotations', "%cd a"), '"""Doc."""\nfrom __future__ import annotations\n\nimport os\nos.chdir(\'a\')\n'),
        (('x = """\n!ls\n"""', "!ls"), 'x = """\n!ls\n"""\n\n# !ls\n'),
        (("%reset -f", "x = 1"), "# %reset -f\n\nx = 1\n"),
        (("x = 1; x",), "x = 1; x\n"),
        (("(x,\n y.z)",), "\n"),
    ],
)  # fmt: skip
def test_joined(tmp_path: Path, cells: tuple[str, ...], text: str) -> None:
    joined = join_file(written(tmp_path, *cells))
    assert joined.text == text
    assert len(joined.places) >= len(text.splitlines())
    assert joined.refusal is None


FRAGMENTS = [
    *CELLS, "%matplotlib inline", "!ls \\\n  -l", "if 1:\n    !ls", "x = (1,\n%time y\n)", "%time", "%%time", "%%time\n%%time", "%",
    "%%", "!", "?", "x?", "a = !b", "%env A=1", "%cd a", "%cd", "%run a", "pip install b", "ls", '"""\n!x\n"""', "%time '''\n'''", "net",
    "display(net)", "'doc'", "# only", "\ud800", "\x0c", "x = 1;", "x; net", "from __future__ import division", "for i in range(3):\n  %time i",
    "lambda: await_", "def f():\n  %who\n", "@property\ndef f(self): ...", "class A:\n    !x\n", "\t!ls", f"%%capture a b\n{LOOP}", "%%bash",
]  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(cells=st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=7), to_notebook=st.booleans())
def test_any_cells_convert_or_are_refused(tmp_path: Path, cells: list[str], to_notebook: bool) -> None:
    path = tmp_path / "any.ipynb"
    path.write_text(json.dumps(json.loads(notebook(*cells, *CELLS[1:]))))
    try:
        conversion = convert(path, to_notebook=to_notebook)
        text = as_notebook(conversion) if to_notebook else conversion.text
    except (Refusal, UnreadableScript) as reason:
        assert str(reason) and reason.code != "LC900"
        return
    for part in cell_programs(text) if to_notebook else [text]:
        compile(part, "any", "exec")
