"""How long linting takes, beside parsing the same bytes and beside other linters that are installed.

    python benchmarks/lint_speed.py FOLDER [--repeat N]

FOLDER is any tree of Python files, for example a checkout of github.com/pytorch/examples, or the site-packages of an
environment. Each command runs as its own process (interpreter start included), in turn, and the median of N runs is
shown. `ast.parse` reads the same files in one process that does nothing else: the floor for any linter written in Python.
Linters that are found beside this Python or on the PATH run too; flake8 has the plugins of its own environment.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PARSE = (
    "import ast, pathlib, sys, warnings; warnings.simplefilter('ignore')\n"
    "for path in pathlib.Path(sys.argv[1]).rglob('*.py'):\n"
    "    try: ast.parse(path.read_bytes())\n"
    "    except (SyntaxError, ValueError): pass\n"
)


def commands(folder: str, cache: str) -> dict[str, list[str]]:
    """Name -> command line, of those that can run here."""
    lint = [sys.executable, "-m", "litify", "lint", "--isolated", "--statistics"]
    found = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "ast.parse alone": [sys.executable, "-c", PARSE, folder],
        "litify, one process": [*lint, "--no-cache", "--jobs", "1", folder],
        "litify, cold": [*lint, "--no-cache", folder],
        "litify, warm cache": [*lint, "--cache-dir", cache, folder],
    }
    for name, arguments in {
        "ruff check": ["ruff", "check", "--no-cache", "--isolated", "--statistics"],
        "torchfix": ["torchfix"],
        "flake8": ["flake8", "--isolated", "--count", "-q"],
    }.items():
        beside = Path(sys.executable).with_name(arguments[0])
        program = str(beside) if beside.exists() else shutil.which(arguments[0])
        if program is not None:
            found[name] = [program, *arguments[1:], folder]
    return found


def seconds(command: list[str], bytecode: str) -> float:
    """Wall time of one run; the exit code of a linter says whether it found something, not whether it ran.

    Modules are read from bytecode, as from an installed package, also where the environment forbids writing it.
    """
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = bytecode
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr}")
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder")
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    files = list(Path(options.folder).rglob("*.py"))
    lines = sum(path.read_bytes().count(b"\n") for path in files)
    print(f"{len(files)} files, {lines} lines, median of {options.repeat}")
    with tempfile.TemporaryDirectory() as cache, tempfile.TemporaryDirectory() as bytecode:
        every = commands(options.folder, cache)
        for command in every.values():
            seconds(command, bytecode)  # fills both
        times: dict[str, list[float]] = {name: [] for name in every}
        for _ in range(options.repeat):
            for name, command in every.items():
                times[name].append(seconds(command, bytecode))
    floor = statistics.median(times["ast.parse alone"])
    for name, taken in times.items():
        median = statistics.median(taken)
        print(f"{name:20} {median:7.3f} s  {median / floor:5.2f} x ast.parse")


if __name__ == "__main__":
    main()
