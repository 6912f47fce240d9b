"""Many files: found, checked in several processes where that pays, known ones taken from the cache."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from litify_linter.cache import Cache
from litify_linter.checked import Checked, is_worth_parsing, shown_lines
from litify_linter.config import Settings
from litify_linter.files import Problem, Target, discover

Lookup = Callable[[Path], Settings]
# Below this many files the processes would take longer to start than they save.
FILES_PER_PROCESS = 150
CHUNK = 40


@dataclass
class Result:
    """What a run gave: the checked files, and a line for each path that could not be read."""

    checked: list[Checked]
    problems: list[str]


def check_paths(
    paths: Sequence[str],
    settings: Lookup,
    force_exclude: bool = False,
    cache: Cache | None = None,
    jobs: int | None = None,
) -> Result:
    """Lint files and folders, in their order. `jobs` is the number of processes, by default as many as pay."""
    result = Result([], [])
    targets: list[Target] = []
    for found in discover(paths, settings, force_exclude):
        if isinstance(found, Problem):
            result.problems.append(str(found))
        else:
            targets.append(found)
    for item in _checked(targets, settings, cache, jobs or _processes(len(targets))):
        if isinstance(item, Problem):
            result.problems.append(str(item))
            continue
        checked, key = item
        result.checked.append(checked)
        if cache is not None and key is not None:
            cache.put(key, checked.findings, checked.consulted)
    if cache is not None:
        cache.save()
    return result


def _processes(files: int) -> int:
    """How many processes pay. Only by fork: a fresh interpreter would load all rules again."""
    if not sys.platform.startswith("linux"):  # macOS can fork too, but warns against it
        return 1
    return max(1, min(len(os.sched_getaffinity(0)), files // FILES_PER_PROCESS))


# A file with the key its findings are to be kept under, None where they came from the cache or are not worth it.
Item = tuple[Checked, str | None]


def _checked(
    targets: Sequence[Target], settings: Lookup, cache: Cache | None, jobs: int
) -> Iterator[Item | Problem]:
    if jobs == 1 or len(targets) < 2 or not hasattr(os, "fork"):
        for target in targets:
            yield check_target(target, settings, cache)
        return
    import multiprocessing  # most runs need one process only

    context = multiprocessing.get_context("fork")
    chunks = [targets[start : start + CHUNK] for start in range(0, len(targets), CHUNK)]
    with context.Pool(min(jobs, len(chunks)), _remember, (settings, cache)) as pool:
        for items in pool.imap(_check_chunk, chunks):
            yield from items


_shared: dict[str, tuple[Lookup, Cache | None]] = {}  # in a worker process: what all its chunks need


def _remember(settings: Lookup, cache: Cache | None) -> None:
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches all processes; the first one ends the others
    _shared["work"] = (settings, cache)


def _check_chunk(targets: Sequence[Target]) -> list[Item | Problem]:
    settings, cache = _shared["work"]
    return [check_target(target, settings, cache) for target in targets]


def check_target(target: Target, settings: Lookup, cache: Cache | None) -> Item | Problem:
    """Lint one file, or find out that this was done before."""
    try:
        with open(target.path, "rb") as file:
            data = file.read()
    except OSError as error:
        return Problem(target.path, f"cannot be read: {error.strerror}")
    if not target.named and not is_worth_parsing(data):
        return Checked(target.path), None
    here = settings(Path(os.path.dirname(os.path.abspath(target.path))))
    if cache is None or target.path.endswith(".ipynb"):
        return _check(data, target, here), None
    key = cache.key(data, here.codes_for(target.path), target.path)
    known = cache.get(key)
    if known is None:
        return _check(data, target, here), key
    lines = shown_lines(data) if known else ()
    return Checked(target.path, known, lines), None


def _check(data: bytes, target: Target, settings: Settings) -> Checked:
    # The rules and all they read with: a run that finds everything in the cache is over before they were loaded.
    from litify_linter.check import check_source

    return check_source(data, target.path, settings, target.named)
