"""Notebooks: findings at their cells, IPython's own syntax, fixes that change nothing else of the file."""

from __future__ import annotations

import json

import pytest

from litify_linter.check import check_source
from litify_linter.checked import Checked
from litify_linter.config import Settings
from litify_linter.fix import difference, fix_source
from litify_linter.ipython import python_of
from litify_linter.output import FORMATS, render

MODULE = """\
class Lit(LightningModule):
    def validation_step(self, batch, batch_idx):
        print(batch)
        self.eval()"""


def notebook(*cells: str, indent: int | None = 1, language: str = "python") -> bytes:
    every = [{"cell_type": "markdown", "metadata": {}, "source": ["# größe"]}]
    every += [
        {
            "cell_type": "code",
            "execution_count": None,
            "metadata": {},
            "outputs": [],
            "source": source.splitlines(keepends=True),
        }
        for source in cells
    ]
    kernel = {"kernelspec": {"language": language, "name": "k"}}
    document = {"cells": every, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    return (json.dumps(document, indent=indent, ensure_ascii=False) + "\n").encode()


def check(data: bytes) -> Checked:
    checked = check_source(data, "a.ipynb", Settings())
    for form in FORMATS:
        assert "".join(render(form, [checked]))
    return checked


def places(data: bytes) -> list[tuple[str, int | None, int]]:
    return [(f.code, f.cell, f.line) for f in check(data).findings]


def test_findings_stand_at_their_cells():
    data = notebook(
        "%matplotlib inline\n!pip install torch \\\n  litify\nfrom litify import LightningModule",
        "x = 1",
        MODULE,
    )
    assert places(data) == [("LIT601", 4, 3), ("LIT301", 4, 4)]
    shown = "".join(render("full", [check(data)]))
    assert shown.startswith("a.ipynb:cell 4:3:9: LIT601")
    assert "3 |         print(batch)\n  |         ^^^^^^^^^^^^ LIT601" in shown
    assert "x = 1" not in shown
    assert json.loads("".join(render("json", [check(data)])))[0]["cell"] == 4


def test_fixes_change_the_cell_and_nothing_else():
    first = "from litify import LightningModule\n%time x = 1"
    for indent in (1, 2, None):
        data = notebook(first, MODULE, "y = 2", indent=indent)
        result = fix_source(data, "a.ipynb", Settings())
        after = MODULE.replace("print", "self.print").replace("\n        self.eval()", "\n")
        assert result.data == notebook(first, after, "y = 2", indent=indent)
        assert not result.checked.findings
        assert "+        self.print(batch)\n" in list(difference("a.ipynb", data, result.data))


def test_a_layout_that_cannot_be_kept_is_not_fixed():
    data = notebook("from litify import LightningModule", MODULE).replace(b'"nbformat": 4', b'"nbformat":  4')
    result = fix_source(data, "a.ipynb", Settings())
    assert result.data == data and len(result.checked.findings) == 2


def test_suppressions():
    data = notebook("# litify: noqa: LIT301\nfrom litify import LightningModule", MODULE)
    assert places(data) == [("LIT601", 3, 3)]
    assert places(notebook("import torch", "x = 1  # noqa: LIT101")) == [("LIT001", 3, 1)]


@pytest.mark.parametrize(
    ("source", "python"),
    [
        ("x = 1\n%time y()\n", "x = 1\npass\n"),
        ("if x:\n    !ls\n", "if x:\n    pass\n"),
        ("!a \\\n b\nx", "pass\n\nx"),
        ("files = !ls\n", "pass\n"),
        ("torch.load?\nx", "pass\nx"),
        ("%%time\nx = 1", "pass\nx = 1"),
        ("%%bash\nls -l\nrm x", "\n\n"),
        ("x = (3\n% 2)", "x = (3\n% 2)"),
        ("pip install torch\nls ./x\nx = 1", "pass\npass\nx = 1"),
        ("if x:\n    cd ..\n!ls", "if x:\n    pass\npass"),
        ("%time x\nprint('%d ('\n      %(y))", "pass\nprint('%d ('\n      %(y))"),
        ("x = 1 # (\n%time y()", "x = 1 # (\npass"),
        ('x = """\n%y\n"""\n%time y()', 'x = """\n%y\n"""\npass'),
        ('x = """(\n!y\\"""  # (\n"""\n!z', 'x = """(\n!y\\"""  # (\n"""\npass'),
        ("ls = [3]\ntime - 3\nrun in x\n!ls", "ls = [3]\ntime - 3\nrun in x\npass"),
    ],
)
def test_lines_of_ipython(source, python):
    assert python_of(source) == python


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "E902"),
        (b"{", "E902"),
        (b"[1]", "E902"),
        (b'{"cells": 3}', "E902"),
        (b'{"worksheets": [], "nbformat": 3}', "E902"),
        (
            b'{"cells": [{"cell_type": "code", "source": "x <- 3"}], "metadata": {"language_info": {"name": "R"}}}',
            None,
        ),
        (b'{"cells": [3, {"cell_type": "code"}, {"cell_type": "code", "source": 3}]}', None),
        (notebook("x = ("), "E901"),
        (notebook("print 'x'"), "E901"),
        (notebook("x <- 3", language="R"), None),
        (notebook(), None),
    ],
)
def test_notebooks_that_are_none(data, code):
    assert [finding.code for finding in check_source(data, "a.ipynb", Settings()).findings] == (
        [code] if code else []
    )
