"""The built wheel, not the checkout: in a clean environment it converts and lints without torch, and says what is missing."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, timeout=280)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an environment that holds litify's wheel and its plain dependencies only."""
    folder = tmp_path_factory.mktemp("bare")
    built = run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT, cwd=folder)
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("litify-*.whl")
    venv.create(folder / "env", with_pip=True)
    constraints = ROOT / "constraints.txt"
    done = run(folder / "env/bin/pip", "install", "-q", "-c", constraints, wheel, cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "train.py").write_text((ROOT / "fixtures" / "digits" / "train.py").read_text())
    return folder


def test_converts_and_lints_without_torch(bare: Path) -> None:
    assert run(bare / "env/bin/python", "-c", "import torch", cwd=bare).returncode != 0
    done = run(bare / "env/bin/litify", "convert", "train.py", cwd=bare)
    assert done.returncode == 0, done.stderr
    assert run(bare / "env/bin/litify", "lint", "train_lit.py", cwd=bare).returncode == 0
    assert run(bare / "env/bin/litify", "lint", "train.py", cwd=bare).returncode == 1


def test_holds_three_typed_packages(bare: Path) -> None:
    (site,) = (bare / "env" / "lib").glob("python*/site-packages")
    for package in ("litify", "litify_converter", "litify_linter"):
        assert (site / package / "py.typed").is_file(), package


@pytest.mark.parametrize("command", ["run train_lit.py", "verify train.py train_lit.py"])
def test_missing_extra_is_one_line_and_exit_2(bare: Path, command: str) -> None:
    done = run(bare / "env/bin/litify", *command.split(), cwd=bare)
    assert done.returncode == 2
    assert "litify[run]" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_import_names_the_missing_extra(bare: Path) -> None:
    assert run(bare / "env/bin/python", "-c", "import litify", cwd=bare).returncode == 0
    done = run(bare / "env/bin/python", "-c", "from litify import Trainer", cwd=bare)
    assert "litify[run]" in done.stderr.strip().splitlines()[-1]
