"""DESIGN 4 for the fixtures: what `litify convert` made of them trains in one process and in several, by flags alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.test_fixtures import FIXTURES, RESULTS, assert_reached

CONVERTED = sorted(path.parent.name for path in FIXTURES.glob("*/train_lit.py"))
ALL = os.environ.get("LITIFY_TEST_FIXTURES") == "all"
"""Every fixture in 1, 2 and 4 processes, for some twenty minutes; else two of them in 2: one for DDP, one with no loader at all."""
CASES = [(name, number) for name in CONVERTED for number in (1, 2, 4)] if ALL else [("ddp", 2), ("gcn", 2)]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "processes"), CASES)
def test_a_converted_fixture_trains_in_several_processes(name: str, processes: int, tmp_path: Path) -> None:
    """Two epochs, and what the script does after training; the DDP one to its stated result, as its batch is that of all."""
    script = FIXTURES / name / "train_lit.py"
    flags = ["--devices", str(processes), "--accelerator", "cpu", "--default-root-dir", str(tmp_path)]
    flags += [] if name == "ddp" else ["--max-epochs", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "litify", "run", str(script), *flags],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=550,
    )
    assert done.returncode == 0, done.stderr
    assert f"{processes} x cpu, ddp" in done.stderr or processes == 1
    if name == "ddp":
        assert_reached(name, done.stdout)
        assert len(done.stdout.splitlines()) == 10, "only rank 0 prints, a line per epoch"
    else:
        assert re.search(RESULTS[name].printed, done.stdout), done.stdout[-2000:]
    assert not list(tmp_path.rglob("version_1")), "the processes share a run folder"
