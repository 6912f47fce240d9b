"""torch.compile: asked for by the module that is passed, or by `litify run --compile`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from tests.runtime.models import Validated, assert_same_weights, loader, quiet

from litify import flags
from litify.commands.run import run


def test_a_compiled_module_trains_compiled_and_keeps_its_names(tmp_path: Path) -> None:
    """With the options that it was compiled with; before, it was trained as if nobody had."""
    graphs = []

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    torch.manual_seed(0)
    plain = Validated(dropout=0.0)
    quiet(tmp_path).fit(plain, loader(), loader())
    torch.manual_seed(0)
    model = Validated(dropout=0.0)
    trainer = quiet(tmp_path)
    trainer.fit(torch.compile(model, backend=backend), loader(), loader())
    assert graphs
    assert trainer.lightning_module is model
    assert_same_weights(plain, model)
    assert model.state_dict().keys() == plain.state_dict().keys()


PICKLED = """
import pickle, sys, torch
from tests.runtime.models import Validated, loader, quiet

def main():
    model = Validated(dropout=0.0)
    graphs = []
    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward
    quiet(sys.argv[1]).fit(torch.compile(model, backend=backend), loader(), loader())
    assert graphs
    assert pickle.loads(pickle.dumps(model)).state_dict().keys() == model.state_dict().keys()

main()
"""


def test_a_module_that_was_compiled_can_be_pickled(tmp_path: Path) -> None:
    """In a process of its own, in which no other test has run before."""
    command = [sys.executable, "-c", PICKLED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr


def test_the_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []

    def note(function: Any) -> Any:
        compiled.append(function)
        return function

    monkeypatch.setattr(torch, "compile", note)
    model = Validated()
    quiet(tmp_path).fit(model, loader())
    assert not compiled
    monkeypatch.setenv(flags.VARIABLE, json.dumps({"compile": True}))
    trainer = quiet(tmp_path)
    trainer.fit(model, loader())
    assert compiled == [model.net._compiled_call_impl], "the module itself has no forward"
    trainer.fit(model, loader())
    assert len(compiled) == 1, "once"


def test_the_plan_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(flags.VARIABLE, "{}")  # run leaves its flags there, for the script
    script = tmp_path / "train.py"
    script.write_text("from litify import Trainer\nif __name__ == '__main__':\n    Trainer()\n")
    result = CliRunner().invoke(run, [str(script), "--compile", "--dry-run"])
    assert result.exit_code == 0, result.output
    assert "flag       compile=True" in result.output
