"""A pair's whole way: copy, run the one, run the other, compare; once more with keyed random numbers if need be.

Where nothing but a printed number differs, the original runs a second time, to see whether it prints that number again.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from litify_converter.notebook import Joined
from litify_converter.verify import synthetic as synthetic_data
from litify_converter.verify.compare import Comparison, Finding, compare
from litify_converter.verify.notebooks import in_cells, python_in
from litify_converter.verify.plot import check_plot, draw_losses
from litify_converter.verify.printed import PrintedComparison, unsteady_columns
from litify_converter.verify.run import Outcome, run_recorded
from litify_converter.verify.scratch import Scratch, mirror
from litify_converter.verify.trace import End, Settings, Trace, read_trace
from litify_converter.verify.verdict import (
    FINAL_WEIGHTS,
    PRINTED,
    CannotVerify,
    Difference,
    RunSummary,
    Verdict,
)

Progress = Callable[[str, int], None]  # script as named by the user, steps so far


@dataclass(frozen=True)
class _Request:
    raw: str
    lit: str
    args: tuple[str, ...]
    seed: int
    steps: int | None
    tolerance: float | None
    timeout: float | None
    keep: bool
    items: int | None  # of each synthetic data set
    progress: Progress


@dataclass(frozen=True)
class _Recorded:
    summary: RunSummary
    trace: Trace
    scratch: Scratch
    joined: Joined | None  # of a notebook


@dataclass(frozen=True)
class _Pair:
    raw: _Recorded
    lit: _Recorded
    comparison: Comparison
    keyed: bool


def verify(
    raw: str | os.PathLike[str],
    lit: str | os.PathLike[str],
    args: Sequence[str] = (),
    *,
    seed: int = 0,
    steps: int | None = None,
    tolerance: float | None = None,
    timeout: float | None = None,
    keep: str | os.PathLike[str] | None = None,
    synthetic: bool = False,
    items: int = 1024,
    plot: str | os.PathLike[str] | None = None,
    progress: Progress = lambda script, steps: None,
) -> Verdict:
    """Run both scripts in scratch copies of the working folder and compare their optimizer steps.

    Args:
        raw: the original script, run as `python RAW ARGS` would.
        lit: the converted one, run alike.
        args: command-line arguments given to each.
        seed: for torch, numpy and random, set before a script's first line.
        steps: compare this many optimizer steps and stop there; by default all.
        tolerance: largest relative difference that still counts as close; by default numbers must be equal.
        timeout: seconds for each run; by default none.
        keep: a new or empty folder that keeps copies, traces and logs; by default they are deleted.
        synthetic: random items of the right shapes in place of the data sets of torchvision and torch_geometric.
        items: most that a synthetic data set has.
        plot: an image file to write, with the loss curves of both scripts.
        progress: told several times a second how far a script is.

    Raises:
        CannotVerify: there is nothing to compare, with the reason in one line. The log of a script that failed is
            kept, and the message says where.
    """
    request = _Request(
        os.fspath(raw),
        os.fspath(lit),
        tuple(args),
        seed,
        steps,
        tolerance,
        timeout,
        keep is not None,
        items if synthetic else None,
        progress,
    )
    _check(request)
    if plot is not None:
        check_plot(Path(plot))
    work = _work_folder(keep)
    try:
        pair = _compared(request, work)
        if plot is not None:
            draw_losses((request.raw, pair.raw.trace), (request.lit, pair.lit.trace), Path(plot))
        return _verdict(pair, request)
    finally:
        if keep is None:
            _clean(work)


def _check(request: _Request) -> None:
    if importlib.util.find_spec("torch") is None:
        raise CannotVerify('running a training script needs torch: pip install "litify[run]"')
    for script in (request.raw, request.lit):
        if not os.path.isfile(script):
            what = "is a folder; name a script" if os.path.isdir(script) else "does not exist"
            raise CannotVerify(f"{script} {what}")
    if request.steps is not None and request.steps < 1:
        raise CannotVerify(f"cannot compare {request.steps} steps; --steps takes 1 or more")


def _work_folder(keep: str | os.PathLike[str] | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="litify-verify-")).resolve()
    folder = Path(keep).resolve()
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise CannotVerify(f"{keep} is not empty; --keep takes a new folder")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotVerify(f"{keep} cannot be used: {error.strerror}; --keep takes a new folder") from error
    return folder


def _clean(work: Path) -> None:
    """Delete all but the log of a failed run, which `_recorded` put on the top level."""
    for entry in work.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry, onerror=_make_writable)
    if not any(work.iterdir()):
        work.rmdir()


def _make_writable(function: Callable[[str], object], path: str, _: object) -> None:
    """A copied folder without write permission is made writable, and the failed deletion done again."""
    os.chmod(os.path.dirname(path), 0o700)
    os.chmod(path, 0o700)
    function(path)


def _compared(request: _Request, work: Path) -> _Pair:
    """With plain seeds first, the stronger statement; keyed only where another order of draws could explain it."""
    seeded = _steady(_run_pair(request, work, keyed=False), request, work)
    if seeded.comparison.accepted or not _may_be_random(seeded.comparison):
        return seeded
    return _steady(_run_pair(request, work, keyed=True), request, work)


def _steady(pair: _Pair, request: _Request, work: Path) -> _Pair:
    """Without the printed numbers that the original itself prints otherwise when it runs again."""
    if pair.comparison.first is None or pair.comparison.first.field != PRINTED:
        return pair
    again = _recorded(request, request.raw, work / "again", pair.keyed)
    unsteady = unsteady_columns(pair.raw.trace.lines, again.trace.lines)
    return replace(pair, comparison=compare(pair.raw.trace, pair.lit.trace, request.tolerance, unsteady))


def _may_be_random(comparison: Comparison) -> bool:
    """Classes, counts and the first learning rate owe nothing to random numbers; prints after equal steps do neither."""
    first = comparison.first
    if first is None or first.field in ("optimizer", "parameters", "parameter groups", PRINTED):
        return False
    return not (first.field == "lr" and first.step == 0)


def _run_pair(request: _Request, work: Path, keyed: bool) -> _Pair:
    suffix = "-keyed" if keyed else ""
    raw = _recorded(request, request.raw, work / f"raw{suffix}", keyed)
    if not raw.trace.steps:
        raise CannotVerify(f"{request.raw} took no optimizer step: there is nothing to compare")
    lit = _recorded(request, request.lit, work / f"lit{suffix}", keyed)
    return _Pair(raw, lit, compare(raw.trace, lit.trace, request.tolerance), keyed)


def _recorded(request: _Request, script: str, folder: Path, keyed: bool) -> _Recorded:
    traces, log = folder / "steps", folder / "log.txt"
    traces.mkdir(parents=True)
    real = Path(script).resolve()
    both = [Path(request.raw).resolve(), Path(request.lit).resolve()]
    try:
        scratch = mirror(folder / "tree", Path.cwd().resolve(), both, omit=folder.parent)
    except OSError as error:
        raise CannotVerify(f"cannot copy the working folder to {folder}: {error}") from error
    joined = python_in(script, scratch.place_of(real))
    settings = Settings(
        script=str(scratch.place_of(real)),
        argv0=str(scratch.place_of(real)) if os.path.isabs(script) else script,
        traces=str(traces),
        tree=str(scratch.tree),
        protected=tuple(map(str, scratch.protected)),
        allowed=tuple(map(str, scratch.allowed)),
        seed=request.seed,
        steps=request.steps,
        keyed=keyed,
        items=request.items,
    )
    outcome = run_recorded(
        settings,
        request.args,
        scratch.cwd,
        log,
        request.timeout,
        lambda steps: request.progress(script, steps),
        _as_one_process(real) if script == request.raw else {},
    )
    trace = read_trace(traces)
    reason = _failure(script, request, outcome, trace, log, lambda where: _line(where, scratch, joined))
    if reason is not None:
        kept = folder.parent / f"{real.stem}.log"
        shutil.move(log, kept)
        raise CannotVerify(f"{reason}; full log: {kept}")
    if not request.keep:
        shutil.rmtree(scratch.tree, onerror=_make_writable)  # now, not at the end: it may be large
    summary = RunSummary(script, len(trace.steps), trace.optimizers, round(outcome.seconds, 1))
    return _Recorded(summary, trace, scratch, joined)


def _as_one_process(script: Path) -> dict[str, str]:
    """What torchrun would tell a script that joins a process group: that it is the only process."""
    if "init_process_group" not in script.read_text(errors="replace"):
        return {}
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    ranks = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}
    return {**ranks, "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}


def _failure(
    script: str,
    request: _Request,
    outcome: Outcome,
    trace: Trace,
    log: Path,
    line: Callable[[str | None], str | None],
) -> str | None:
    """Why this run proves nothing, or None."""
    if trace.end and trace.end.reason == "steps":
        return None
    if outcome.timed_out:
        return (
            f"{script} was not done after {request.timeout:g} s ({len(trace.steps)} steps); "
            "give a longer --timeout or fewer --steps"
        )
    if trace.end and trace.end.error:
        place = f" ({line(trace.end.where)})" if trace.end.where else ""
        if trace.end.data_missing:
            return f"{script}: its data is missing here: {trace.end.error}{place}; {_about_data(trace.end, request)}"
        hint = f"; --steps {len(trace.steps)} compares the steps before it" if trace.steps else ""
        return f"{script}: cannot be run: {trace.end.error}{place}{hint}"
    if outcome.returncode != 0:
        return f"{script} cannot be run: {_last_line(log) or f'exit code {outcome.returncode}'}"
    return None


def _about_data(end: End, request: _Request) -> str:
    """What to do about data that is not there."""
    known = end.source is not None and synthetic_data.knows(end.source)
    if request.items is not None and not known:
        return f"--synthetic has no stand-in for {end.source or 'files that a script reads by itself'}"
    if request.items is None and known:
        return f"put it where the script looks for it, or let --synthetic stand in for {end.source}"
    return "put it where the script looks for it"


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _line(where: str | None, scratch: Scratch, joined: Joined | None) -> str | None:
    """A place in the scratch copy as the user knows it, relative to the working folder if below."""
    if where is None:
        return None
    original = scratch.original_of(where)
    return in_cells(original.removeprefix(f"{Path.cwd().resolve()}{os.sep}"), joined)


def _verdict(pair: _Pair, request: _Request) -> Verdict:
    comparison = pair.comparison
    return Verdict(
        kind="identical" if comparison.identical else "close" if comparison.accepted else "diverged",
        randomness="keyed" if pair.keyed else "seeded",
        steps=comparison.steps,
        limit=request.steps,
        final_weights=comparison.final_weights,
        tolerance=request.tolerance,
        raw=pair.raw.summary,
        lit=pair.lit.summary,
        first=_difference(comparison.first, pair),
        largest=_difference(comparison.largest, pair),
        notes=_notes(pair, request),
        evaluation_passes=comparison.passes,
        printed_lines=comparison.printed.lines if comparison.printed else 0,
    )


def _difference(finding: Finding | None, pair: _Pair) -> Difference | None:
    if finding is None:
        return None
    return Difference(
        step=None if finding.field == FINAL_WEIGHTS else finding.step,
        field=finding.field,
        raw=finding.raw,
        lit=finding.lit,
        relative=finding.relative,
        raw_line=_line(finding.raw_where, pair.raw.scratch, pair.raw.joined),
        lit_line=_line(finding.lit_where, pair.lit.scratch, pair.lit.joined),
    )


def _notes(pair: _Pair, request: _Request) -> tuple[str, ...]:
    notes = [_note_on_seeds(pair), _note_on_data(pair, request)]
    if pair.comparison.printed is not None:
        notes += _notes_on_prints(pair.comparison.printed)
    return tuple(filter(None, notes))


def _note_on_seeds(pair: _Pair) -> str:
    """Under keyed random numbers the scripts' own seeds do not act, so seeds that differ are told."""
    ends = (pair.raw.trace.end, pair.lit.trace.end)
    if not pair.keyed or not all(ends) or set(ends[0].seeds) == set(ends[1].seeds):  # type: ignore[union-attr]
        return ""
    seeds = [
        f"{run.summary.script} with {', '.join(map(str, end.seeds)) or 'nothing'}"  # type: ignore[union-attr]
        for run, end in zip((pair.raw, pair.lit), ends, strict=True)
    ]
    return f"the scripts seed torch differently ({'; '.join(seeds)}), so their own runs will differ"


def _note_on_data(pair: _Pair, request: _Request) -> str:
    if request.items is None:
        return ""
    end = pair.raw.trace.end
    if end is None or not end.synthetic:
        return "--synthetic replaced nothing: no data set was made that it has a stand-in for"
    return f"synthetic data: {', '.join(end.synthetic)}"


def _notes_on_prints(printed: PrintedComparison) -> Iterator[str]:
    if printed.rounded:
        yield f"numbers on {printed.rounded} of the {printed.lines} printed lines differ by rounding, in their last digits"
    if printed.uneven:
        example = printed.uneven[0]
        yield f"not compared, being printed more often by one script: `{example}`" + (
            f" and {len(printed.uneven) - 1} more" if len(printed.uneven) > 1 else ""
        )
