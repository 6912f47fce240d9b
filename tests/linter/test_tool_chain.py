"""In real pre-commit and real flake8, each in an environment of its own that never sees torch."""

from __future__ import annotations

import os
import shutil
import subprocess
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("runtime", "converter", "linter", "pyproject.toml", "README.md", "LICENSE", ".pre-commit-hooks.yaml")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SAMPLE = """\
from litify import LightningModule


class Lit(LightningModule):
    def training_step(self, batch, batch_idx):
        loss = self.loss(batch.cuda())
        loss.backward()
        return loss
"""
CONFIG = """\
repos:
  - repo: {repo}
    rev: v0
    hooks:
      - id: {hook}
"""


def run(*command: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**os.environ, **env},
        timeout=800,
    )


def git(*arguments: str, cwd: Path) -> None:
    identity = ("-c", "user.name=litify", "-c", "user.email=litify@localhost")
    done = run("git", *identity, *arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment with pre-commit and flake8."""
    folder = tmp_path_factory.mktemp("tools")
    venv.create(folder / "env", with_pip=True)
    done = run(folder / "env/bin/pip", "install", "-q", "pre-commit", "flake8", cwd=folder)
    if done.returncode:
        pytest.skip(f"pre-commit and flake8 cannot be installed here: {done.stderr.strip().splitlines()[-1]}")
    return folder / "env" / "bin"


@pytest.fixture(scope="module")
def hooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as a git repository with a tag, as pre-commit wants it."""
    folder = tmp_path_factory.mktemp("hooks") / "litify"
    folder.mkdir()
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / part)
    git("init", "-q", cwd=folder)
    git("add", ".", cwd=folder)
    git("commit", "-qm", "state", cwd=folder)
    git("tag", "v0", cwd=folder)
    return folder


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A repository that uses the hooks."""
    folder = tmp_path / "sample"
    folder.mkdir()
    git("init", "-q", cwd=folder)
    (folder / "module.py").write_text(SAMPLE)
    (folder / "clean.py").write_text("import torch\n")
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pre-commit-home")


def run_hook(
    hook: str, tools: Path, hooks: Path, sample: Path, home: Path
) -> subprocess.CompletedProcess[str]:
    (sample / ".pre-commit-config.yaml").write_text(CONFIG.format(repo=hooks, hook=hook))
    git("add", ".", cwd=sample)
    command = (tools / "pre-commit", "run", "--all-files", "--color", "never")
    return run(*command, cwd=sample, PRE_COMMIT_HOME=str(home), LITIFY_OUTPUT_FORMAT="concise")


def test_pre_commit_reports_and_has_no_torch(tools, hooks, sample, home):
    done = run_hook("litify-lint", tools, hooks, sample, home)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "module.py:6:26: LIT101" in done.stdout and "module.py:7:9: LIT201" in done.stdout
    assert "clean.py" not in done.stdout
    (python,) = home.glob("repo*/py_env-*/bin/python")
    assert run(python, "-c", "import litify_linter", cwd=sample).returncode == 0
    for package in ("torch", "lightning", "numpy"):
        missing = run(python, "-c", f"import {package}", cwd=sample)
        assert missing.returncode == 1 and "ModuleNotFoundError" in missing.stderr


def test_pre_commit_fixes(tools, hooks, sample, home):
    done = run_hook("litify-lint-fix", tools, hooks, sample, home)
    assert done.returncode == 1 and "files were modified by this hook" in done.stdout
    assert (sample / "module.py").read_text() == SAMPLE.replace(".cuda()", "")
    (sample / "module.py").write_text(SAMPLE.replace(".cuda()", "").replace("        loss.backward()\n", ""))
    assert run_hook("litify-lint-fix", tools, hooks, sample, home).returncode == 0


def test_flake8_finds_the_rules_by_itself(tools, hooks, sample):
    done = run(tools / "pip", "install", "-q", hooks, cwd=sample)
    assert done.returncode == 0, done.stderr
    done = run(tools / "flake8", "module.py", cwd=sample)
    assert done.stdout.splitlines()[0].startswith("module.py:6:26: LIT101 `.cuda()`")
    assert "module.py:7:9: LIT201" in done.stdout
    assert run(tools / "flake8", "--extend-ignore", "LIT", "module.py", cwd=sample).stdout == ""
    (sample / "module.py").write_text(SAMPLE.replace("batch.cuda())", "batch.cuda())  # noqa: LIT101"))
    assert "LIT101" not in run(tools / "flake8", "module.py", cwd=sample).stdout
