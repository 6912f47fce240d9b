"""`litify convert` and `litify verify` on notebooks, and what `convert --verify` passes on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

RAW = """\
import torch
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
loader = DataLoader(TensorDataset(torch.randn(8, 3), torch.randn(8, 1)), batch_size=4)
net = nn.Linear(3, 1)
optimizer = optim.SGD(net.parameters(), lr=0.1)
for epoch in range(2):
    for x, y in loader:
        optimizer.zero_grad()
        loss = ((net(x) - y) ** 2).mean()
        loss.backward()
        optimizer.step()
"""


def litify(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "litify", *arguments], cwd=cwd, capture_output=True, text=True, timeout=120
    )


def notebook(*cells: str) -> str:
    code = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
    document = {
        "cells": [{**code, "source": c} for c in cells],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 4,
    }
    return json.dumps(document)


def code_of(path: Path) -> str:
    return "\n".join("".join(c["source"]) for c in json.loads(path.read_text())["cells"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    head, loop = RAW.split("\n\n", 1)
    (tmp_path / "train.ipynb").write_text(notebook(f"%matplotlib inline\n{head}", loop, "net"))
    return tmp_path


def test_a_script_beside_the_notebook(folder: Path) -> None:
    done = litify("convert", "train.ipynb", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("train.ipynb -> train_lit.py\n")
    assert "  train.ipynb:cell 2:9: engineering: " in done.stdout
    assert "  train.ipynb:cell 3:1: non-essential: `net` is left out" in done.stdout
    compile((folder / "train_lit.py").read_text(), "train_lit.py", "exec")
    again = litify("convert", "train_lit.py", cwd=folder)
    assert again.returncode == 1 and "LC102" in again.stderr and "nothing to convert" in again.stderr


def test_a_notebook_again(folder: Path) -> None:
    done = litify("convert", "train.ipynb", "-o", "lit.ipynb", cwd=folder)
    assert done.returncode == 0, done.stderr
    text = code_of(folder / "lit.ipynb")
    assert "%matplotlib inline" in text and "trainer.fit(" in text and "IPYTHON" not in text
    assert litify("lint", "lit.ipynb", cwd=folder).returncode == 0
    again = litify("convert", "lit.ipynb", "--check", cwd=folder)
    assert again.returncode == 0 and "lit.ipynb:cell 3:1: LC102" in again.stderr
    assert litify("convert", "train.ipynb", "-o", "lit.ipynb", cwd=folder).returncode == 0  # its own output
    (folder / "mine.ipynb").write_text(notebook("x = 1"))
    assert "--force" in litify("convert", "train.ipynb", "-o", "mine.ipynb", cwd=folder).stderr
    assert litify("convert", "train.ipynb", "--in-place", cwd=folder).returncode == 0
    assert "trainer.fit(" in code_of(folder / "train.ipynb")


def test_standard_output_diff_and_check(folder: Path) -> None:
    before = sorted(folder.iterdir())
    assert "def training_step(" in litify("convert", "train.ipynb", "-o", "-", cwd=folder).stdout
    diff = litify("convert", "train.ipynb", "--diff", cwd=folder).stdout
    assert diff.startswith("--- train.ipynb\n+++ train_lit.py\n")
    assert "-        loss.backward()" in diff and "+    def training_step" in diff
    check = litify("convert", "train.ipynb", "--check", cwd=folder)
    assert (check.returncode, check.stderr) == (1, "train.ipynb would be converted\n")
    assert sorted(folder.iterdir()) == before


def test_reports_for_programs(folder: Path) -> None:
    report = json.loads(litify("convert", "train.ipynb", "--report", "json", cwd=folder).stdout)
    assert {"kind", "cell", "line", "text"} == set(report["notes"][0])
    (folder / "bad.ipynb").write_text(notebook(RAW, "%run other.py"))
    done = litify("convert", "bad.ipynb", cwd=folder)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "bad.ipynb:cell 2:1: LC209 `%run other.py`: it runs another file in this program",
        "  say it in Python, or take the line out",
    ]
    refusal = json.loads(litify("convert", "bad.ipynb", "--report", "json", cwd=folder).stdout)["refusal"]
    assert (refusal["cell"], refusal["line"], refusal["code"]) == (2, 1, "LC209")
    sarif = json.loads(litify("convert", "bad.ipynb", "--report", "sarif", cwd=folder).stdout)
    location = sarif["runs"][0]["results"][0]["locations"][0]
    assert location["physicalLocation"]["region"] == {"startLine": 1}
    assert location["logicalLocations"] == [{"name": "cell 2", "kind": "cell"}]


def test_a_folder_takes_notebooks_along(folder: Path) -> None:
    (folder / "bad.ipynb").write_text(notebook(RAW, "x = !ls"))
    (folder / "broken.ipynb").write_text('{"torch": ')
    (folder / "plain.ipynb").write_text(notebook("import torch", "%run other.py"))  # does not train
    (folder / "train.py").write_text(RAW)
    done = litify("convert", ".", cwd=folder)
    assert done.returncode == 1
    table = done.stdout.splitlines()
    assert [line.split()[:2] for line in table[:-1]] == [
        ["bad.ipynb", "refused"],
        ["broken.ipynb", "unreadable"],
        ["train.ipynb", "converted"],
        ["train.py", "refused"],
    ]
    assert "LC209:cell 2:1 `x = !ls`: " in table[0]
    assert "LC002 train_lit.py is the conversion of train.ipynb already" in table[3]
    again = litify("convert", ".", "--in-place", "--report", "json", cwd=folder)
    outputs = {one["file"]: one["output"] for one in json.loads(again.stdout)}
    assert outputs["train.ipynb"] == "train.ipynb"
    assert "trainer.fit(" in code_of(folder / "train.ipynb")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "no Jupyter notebook: "),
        (
            '{"worksheets": []}',
            "a notebook of version 3: open and save it in Jupyter, which writes version 4",
        ),
        (notebook(), "the notebook has no code"),
        (notebook("x = 1", "x = 1\ny = ("), ":cell 2:2: syntax error: '(' was never closed"),
    ],
)
def test_unreadable_notebooks_are_one_line(folder: Path, text: str, line: str) -> None:
    (folder / "a.ipynb").write_text(text)
    done = litify("convert", "a.ipynb", cwd=folder)
    assert done.returncode == 2
    place = "" if line.startswith(":cell") else ": "
    assert done.stderr.startswith(f"litify convert: error: a.ipynb{place}{line}")
    assert done.stderr.count("\n") == 1
    assert not (folder / "a_lit.py").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["train.py", "-o", "x.ipynb"], "a notebook is made of a notebook only"),
        (
            ["train.py", "other.py"],
            "one FILE or DIR at a time; other.py is for the scripts that --verify runs",
        ),
        (["train.py", "--steps", "3"], "--steps is about --verify; add --verify"),
        (["train.py", "--synthetic"], "--synthetic is about --verify; add --verify"),
        (
            ["train.py", "--verify", "--items", "3"],
            "--items is the size of synthetic data sets; add --synthetic",
        ),
        (["train.py", "--verify", "-o", "-"], "--verify runs FILE and the file that is written: not with"),
        (["train.py", "--verify", "--in-place"], "--verify runs FILE and the file that is written: not with"),
        (
            ["train.py", "--verify", "--report", "sarif"],
            "--report sarif has no place for what --verify finds",
        ),
        (["train.py", "--in-place", "-o", "x.py"], "--in-place and --output exclude each other"),
    ],
)
def test_what_does_not_go_together_is_said_at_once(folder: Path, arguments: list[str], line: str) -> None:
    (folder / "train.py").write_text(RAW)
    before = sorted(folder.iterdir())
    done = litify("convert", *arguments, cwd=folder)
    assert done.returncode == 2
    assert done.stderr.startswith(f"litify convert: error: {line}")
    assert sorted(folder.iterdir()) == before


def test_verify_runs_notebooks(folder: Path) -> None:
    pytest.importorskip("torch")
    done = litify("convert", "train.ipynb", "-o", "lit.ipynb", "--verify", "--steps", "3", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("identical: the first 3 optimizer steps")
    text = (folder / "lit.ipynb").read_text()
    (folder / "lit.ipynb").write_text(text.replace("lr=0.1", "lr=0.2"))
    done = litify("verify", "train.ipynb", "lit.ipynb", "--report", "json", cwd=folder)
    verdict = json.loads(done.stdout)
    assert done.returncode == 1 and verdict["kind"] == "diverged"
    assert verdict["first"]["raw_line"] == "train.ipynb:cell 2:10"
    assert verdict["first"]["lit_line"].startswith("lit.ipynb:cell ")


def test_verify_passes_arguments_on_and_reports_once(folder: Path) -> None:
    pytest.importorskip("torch")
    script = RAW.replace("range(2)", "range(int(sys.argv[1]))").replace(
        "import torch\n", "import sys\nimport torch\n", 1
    )
    (folder / "train.py").write_text(script)
    done = litify("convert", "train.py", "--verify", "--report", "json", "--", "3", cwd=folder)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["converted"] and report["verification"]["kind"] == "identical"
    assert report["verification"]["raw"]["steps"] == 6


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (notebook("x = 1\n%run other.py"), "a.ipynb:cell 1:2: cannot be run as a script: `%run other.py`: "),
        (notebook("x = 1", "y = 1\nx / 0"), "a.ipynb: cannot be run: ZeroDivisionError: division by zero (a.ipynb:cell 2:2)"),
        ("{", "a.ipynb: no Jupyter notebook: "),
    ],
)  # fmt: skip
def test_notebooks_that_can_not_be_run(folder: Path, text: str, line: str) -> None:
    pytest.importorskip("torch")
    (folder / "a.ipynb").write_text(text)
    done = litify("verify", "a.ipynb", "train.ipynb", cwd=folder)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"litify verify: error: {line}")


def test_errors_name_their_command(folder: Path) -> None:
    done = litify("rule", "LIT999", cwd=folder)
    assert done.returncode == 2 and done.stderr.startswith("litify rule: error: no rule 'LIT999'")
    pytest.importorskip("torch")
    done = litify("verify", "nope.py", "nope.py", cwd=folder)
    assert done.returncode == 2 and done.stderr.startswith("litify verify: error: nope.py does not exist")
