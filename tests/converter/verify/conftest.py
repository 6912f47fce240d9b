"""One recorded process per script text: tests of the recorder ask for a script's trace."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from litify_converter.verify.run import run_recorded
from litify_converter.verify.scratch import mirror
from litify_converter.verify.trace import Settings, Trace, read_trace

Record = Callable[..., Trace]


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Record:
    """record(source, *args, steps=None, keyed=False) runs the source as a script and returns its trace."""
    pytest.importorskip("torch")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def run(source: str, *args: str, steps: int | None = None, keyed: bool = False) -> Trace:
        home, work = tmp_path / "project", tmp_path / "work"
        home.mkdir()
        (work / "steps").mkdir(parents=True)
        script = home / "train.py"
        script.write_text(textwrap.dedent(source))
        scratch = mirror(work / "tree", home, [script], omit=work)
        settings = Settings(
            script=str(scratch.place_of(script)),
            argv0="train.py",
            traces=str(work / "steps"),
            tree=str(scratch.tree),
            protected=tuple(map(str, scratch.protected)),
            allowed=tuple(map(str, scratch.allowed)),
            seed=0,
            steps=steps,
            keyed=keyed,
        )
        outcome = run_recorded(settings, args, scratch.cwd, work / "log.txt", 120, lambda steps: None)
        trace = read_trace(work / "steps")
        failed = trace.end is not None and trace.end.reason == "error"
        assert outcome.returncode == int(failed), (work / "log.txt").read_text()
        return trace

    return run
