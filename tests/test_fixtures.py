"""The fixtures are honest: each runs with its defaults and reaches the result its docstring states."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FIXTURES = ROOT / "fixtures"
NAMES = sorted(path.parent.name for path in FIXTURES.glob("*/train.py"))

# What a machine with the dev extra has; anything else would be a download or a missing package.
PACKAGES = {"networkx", "numpy", "sklearn", "torch"}


@dataclass(frozen=True)
class Result:
    """A stated result: where the docstring claims it, where the output shows it.

    Both patterns have one group, the number. ``unit`` is the factor from printed to stated number (100 where a
    fraction is printed and a percentage stated). ``shows`` must occur in the output, or the run never meets what the
    fixture is there for. ``files`` are globs of what the run leaves in the current folder.
    """

    claim: str
    printed: str
    higher_is_better: bool = True
    unit: float = 1.0
    shows: str = ""
    files: tuple[str, ...] = ()


RESULTS = {
    "digits": Result(r"([\d.]+) % test accuracy", r"Accuracy: \d+/\d+ \(([\d.]+)%\)"),
    "digits2017": Result(
        r"test accuracy is ([\d.]+) %", r"on the 297 test images: ([\d.]+) %", files=("cnn.pkl",)
    ),
    "solver": Result(
        r"([\d.]+) % test accuracy",
        r"best model .*test acc ([\d.]+)",
        unit=100,
        files=("runs/best.pt", "runs/last.pt"),
    ),
    "vae": Result(
        r"falls to ([\d.]+) nats",
        r"Test set loss: ([\d.]+)",
        higher_is_better=False,
        files=tuple(
            f"results/{kind}_{epoch}.pgm" for kind in ("reconstruction", "sample") for epoch in (1, 20)
        ),
    ),
    "gan": Result(
        r"at a distance of ([\d.]+)",
        r"Distance to the nearest real image: ([\d.]+) ",
        higher_is_better=False,
        shows="digits drawn: 10 of 10",
        files=("samples/010.npy", "samples/060.npy", "generator.pt"),
    ),
    "charlm": Result(
        r"([\d.]+) bits per character",
        r"End of training .* test bpc +([\d.]+)",
        higher_is_better=False,
        shows=r"\| lr (?!40\.00)",  # a plateau, and a cut of the learning rate
        files=("model.pt",),
    ),
    "gcn": Result(r"([\d.]+) % accuracy", r"Best validation .*test accuracy= ([\d.]+)", unit=100),
    "amp": Result(
        r"([\d.]+) % test accuracy",
        r"test accuracy ([\d.]+) %",
        files=("logs/events.out.tfevents.*", "resnet_digits.pt"),
    ),
    "ddp": Result(r"([\d.]+) % test accuracy", r"test accuracy ([\d.]+) %", files=("checkpoint.pt",)),
    "lbfgs": Result(r"R2 = ([\d.]+)", r"R2: ([\d.]+)", files=("regressor.pt",)),
    "gpt": Result(
        r"loss of ([\d.]+) nats", r"best val loss ([\d.]+)", higher_is_better=False, files=("out/ckpt.pt",)
    ),
    "no_training": Result(r"([\d.]+) % test accuracy", r"random features: test accuracy ([\d.]+) %"),
}


def run_fixture(name: str, folder: Path, *args: str) -> str:
    """Run a fixture as a process of its own in ``folder``; return what it printed."""
    command = [sys.executable, str(FIXTURES / name / "train.py"), *args]
    # One thread: the same order of additions whatever the number of cores, and no fight for those of a busy machine.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout


def stated(name: str) -> float:
    docstring = ast.get_docstring(ast.parse((FIXTURES / name / "train.py").read_text()))
    claims = re.findall(RESULTS[name].claim, docstring or "")
    assert len(claims) == 1, f"{name}: one result must be stated, found {claims}"
    return float(claims[0])


def assert_reached(name: str, output: str) -> None:
    result = RESULTS[name]
    printed = re.findall(result.printed, output)
    assert printed, f"{name} printed no result:\n{output[-2000:]}"
    reached, promised = float(printed[-1]) * result.unit, stated(name)
    assert reached >= promised if result.higher_is_better else reached <= promised, (reached, promised)
    assert re.search(result.shows, output), f"{name}: nothing in the output matches {result.shows}"


def test_every_fixture_has_a_stated_result() -> None:
    assert sorted(RESULTS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_fixture_needs_no_download_and_runs_on_python_310(name: str) -> None:
    text = (FIXTURES / name / "train.py").read_text()
    assert 60 <= len(text.splitlines()) <= 250
    tree = ast.parse(text, feature_version=(3, 10))
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module or "." for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    packages = {module.split(".")[0] for module in modules}
    assert packages - PACKAGES <= sys.stdlib_module_names


@pytest.mark.parametrize("name", NAMES)
def test_readme_states_the_result_of_the_docstring(name: str) -> None:
    rows = [
        line for line in (FIXTURES / "README.md").read_text().splitlines() if f"]({name}/train.py)" in line
    ]
    assert len(rows) == 1
    result = rows[0].split("|")[4]
    assert stated(name) in [float(number) for number in re.findall(r"\d+(?:\.\d+)?", result)]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_fixture_reaches_its_stated_result(name: str, tmp_path: Path) -> None:
    before = sorted(FIXTURES.rglob("*"))
    output = run_fixture(name, tmp_path)
    assert_reached(name, output)
    for pattern in RESULTS[name].files:
        written = list(tmp_path.glob(pattern))
        assert written and all(path.stat().st_size for path in written), f"{name} did not write {pattern}"
    assert sorted(FIXTURES.rglob("*")) == before


@pytest.mark.slow
def test_digits_options(tmp_path: Path) -> None:
    output = run_fixture("digits", tmp_path, "--epochs", "2", "--dry-run", "--save-model", "--no-cuda")
    assert [line.split()[2] for line in output.splitlines() if line.startswith("Train Epoch")] == ["1", "2"]
    assert (tmp_path / "digits_cnn.pt").stat().st_size


@pytest.mark.slow
def test_solver_resumes_where_it_stopped(tmp_path: Path) -> None:
    run_fixture("solver", tmp_path, "--epochs", "10")
    output = run_fixture("solver", tmp_path, "--epochs", "30", "--resume", "runs/last.pt")
    assert "resumed from runs/last.pt (epoch 10)" in output
    assert re.findall(r"^epoch +(\d+)", output, re.MULTILINE) == [str(epoch) for epoch in range(11, 31)]
    assert_reached("solver", output)


@pytest.mark.slow
def test_ddp_on_two_processes(tmp_path: Path) -> None:
    output = run_fixture("ddp", tmp_path, "--world-size", "2")
    assert_reached("ddp", output)
    assert len(output.splitlines()) == 10, "only process 0 prints, a line per epoch"
