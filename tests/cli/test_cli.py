"""The command group: what `litify` says about itself, quickly, and what it says to wrong use."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from litify.cli import COMMANDS

HEAVY = {"torch", "libcst", "black", "numpy", "lightning"}


def litify(*args: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "litify", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)  # type: ignore[call-overload, no-any-return]


def loaded_by(*args: str) -> set[str]:
    """Top-level packages loaded when the command line has been answered."""
    code = f"""
import json, sys
sys.argv = ["litify", *{args!r}]
from litify.cli import main
try:
    main()
except SystemExit as leaving:
    assert not leaving.code, leaving.code
print(json.dumps(sorted({{name.split(".")[0] for name in sys.modules}})))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_help_names_every_command_with_an_example() -> None:
    done = litify("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert list(COMMANDS) == ["convert", "verify", "lint", "run", "rule"]
    for name, (_, line, example) in COMMANDS.items():
        assert re.search(rf"^  {name} +{line.split()[0]}", done.stdout, re.MULTILINE)
        assert re.search(rf"^ +{re.escape(example)}$", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    "args", [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)], ids=" ".join
)
def test_help_loads_nothing_heavy(args: list[str]) -> None:
    """Asserted by what is imported, not by time: these packages are what makes a command slow to start."""
    assert not loaded_by(*args) & HEAVY


def test_help_of_the_group_imports_no_command() -> None:
    code = "import sys\nfrom litify.cli import litify\nlitify(['--help'], standalone_mode=False)\n"
    code += "print([name for name in sys.modules if name.startswith(('litify.commands.', 'litify_'))])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_of_its_own(name: str) -> None:
    done = litify(name, "-h")
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: ")
    assert f"litify {name}" in done.stdout


def test_version() -> None:
    done = litify("--version")
    assert done.returncode == 0
    assert re.fullmatch(r"litify, version \d+\.\d+\.\d+\S*\n", done.stdout)


def test_the_installed_command_is_the_module() -> None:
    script = Path(sys.executable).with_name("litify")
    if not script.exists():
        pytest.skip("litify is not installed beside this interpreter")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=60)
    assert done.stdout == litify("--version").stdout


def test_no_command_shows_the_help_and_fails() -> None:
    done = litify()
    assert done.returncode == 2
    assert "litify convert train.py" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["convrt"], "litify: error: No such command 'convrt'"),
        (["--fast"], "litify: error: No such option"),
        (["verify"], "litify verify: error: Missing argument 'RAW'"),
        *(([name, "--no-such-flag", "x.py"], "o such option") for name in ("convert", "verify", "lint")),
    ],
    ids=str,
)
def test_wrong_use_is_one_line_and_exit_code_2(args: list[str], message: str) -> None:
    done = litify(*args)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = f"{sys.executable} -m litify --help | true"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr
