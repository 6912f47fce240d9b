"""Runs one script in a recorded process of its own, and leaves no process behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, MappingProxyType

from litify_converter.verify.trace import Settings

# Takes the place of `python -m`, which would put the working folder first on sys.path, where a file of the user's
# could shadow a module that the recorder or torch imports.
_START = (
    "import sys; sys.path[:] = [sys.argv.pop(1), *filter(None, sys.path)]; "
    "from litify_converter.verify.record import main; main()"
)
_PACKAGES = Path(__file__).resolve().parents[2]
_POLL_SECONDS = 0.1
_MARK = "LITIFY_VERIFY_RUN"

Progress = Callable[[int], None]  # called several times a second with the steps taken so far


@dataclass(frozen=True)
class Outcome:
    returncode: int  # negative: killed by that signal
    seconds: float
    timed_out: bool


def run_recorded(
    settings: Settings,
    args: Sequence[str],
    cwd: Path,
    log: Path,
    timeout: float | None,
    progress: Progress,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> Outcome:
    """Run until the script ends, has taken enough steps, or `timeout` seconds are over.

    `variables` are added to the environment where it has none of that name.

    Standard output and error go to `log`; standard input is empty. The process has a session of its own; whatever
    happens here, Ctrl-C and SIGTERM included, that session and all its descendants are gone afterwards.
    """
    mark = uuid.uuid4().hex
    command = [sys.executable, "-c", _START, str(_PACKAGES), settings.to_json(), *args]
    started = time.monotonic()
    with _stopped_by_signals(), open(log, "wb") as output:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**variables, **_environment(cwd, settings.seed, mark)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            timed_out = _wait(process, settings, started, timeout, progress)
        finally:
            _end(process, mark)
    return Outcome(process.returncode, time.monotonic() - started, timed_out)


def _wait(
    process: subprocess.Popen[bytes],
    settings: Settings,
    started: float,
    timeout: float | None,
    progress: Progress,
) -> bool:
    """True when the time was over first."""
    counter = _StepCounter(Path(settings.traces))
    while True:
        try:
            process.wait(_POLL_SECONDS)
            return False
        except subprocess.TimeoutExpired:
            progress(steps := counter.count())
            # a child process that reached the limit has left; the others would wait for it
            if settings.steps is not None and steps > settings.steps:
                return False
            if timeout is not None and time.monotonic() - started > timeout:
                return True


class _StepCounter:
    """Steps of the trace file that has most, read as they come; its end counts as one more."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: dict[Path, tuple[int, int]] = {}  # file -> bytes read, steps found

    def count(self) -> int:
        for path in self.folder.glob("*-0-*.jsonl"):
            size, steps = self.seen.get(path, (0, 0))
            with open(path, "rb") as file:
                file.seek(size)
                text = file.read()
            whole = text[: text.rfind(b"\n") + 1]
            found = sum(line.startswith((b'{"Step"', b'{"End"')) for line in whole.splitlines())
            self.seen[path] = size + len(whole), steps + found
        return max((steps for _, steps in self.seen.values()), default=0)


def _environment(cwd: Path, seed: int, mark: str) -> dict[str, str]:
    """The caller's own, so that a harness around litify goes on working, and a few additions."""
    return {
        "PYTHONHASHSEED": str(seed % 2**32),  # the order of a set of words is part of many a vocabulary
        "MPLBACKEND": "Agg",  # a window would wait for someone to close it
        **os.environ,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PWD": str(cwd),
        _MARK: mark,
    }


def _end(process: subprocess.Popen[bytes], mark: str) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # already gone; macOS says the latter
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pid in _marked(mark):  # those that moved to a session of their own
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _marked(mark: str) -> Iterator[int]:
    """Processes that carry this run's mark in their environment (Linux only; elsewhere none are found)."""
    needle = f"{_MARK}={mark}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # another user's, or just gone
            if needle in (folder / "environ").read_bytes():
                yield int(folder.name)


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Make SIGTERM and SIGHUP unwind the stack as Ctrl-C does, so that the script is ended first."""
    if threading.current_thread() is not threading.main_thread():  # only there can handlers be set
        yield
        return

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
