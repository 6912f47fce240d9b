"""A scratch copy of where a script runs, so that nothing it writes lands among the user's files.

The copy stands for the whole file system: `/home/me/project` becomes `TREE/home/me/project`, so relative paths,
also those that climb out (`../data`), lead to the same places. Working folder and script folders are copied; what
is too big to copy, and what lies beside them, is linked. The guard in the child process turns a link into a copy
before anything is written through it.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

COPY_LIMIT = 256 * 2**20  # bytes copied per run; the rest is linked
FILE_LIMIT = 20_000  # files copied per run
LEVELS_UP = 3  # how far above a copied folder its neighbours are linked
NEIGHBOURS = 2_000  # links per level
SKIPPED = frozenset(
    {".git", ".hg", ".svn", ".tox", ".nox", ".eggs", "node_modules", "__pycache__", ".ipynb_checkpoints"}
    | {".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".venv"}
)


@dataclass(frozen=True)
class Scratch:
    """Where the copy is. `tree` stands for the root of the file system."""

    tree: Path
    cwd: Path
    protected: tuple[Path, ...]  # the original folders that were copied ...
    allowed: tuple[Path, ...]  # ... and what below them may be written all the same

    def place_of(self, original: Path) -> Path:
        return _inside(self.tree, original)

    def original_of(self, place: str) -> str:
        """The user's path for one in the copy (trace lines name those)."""
        return place.removeprefix(str(self.tree))


def mirror(tree: Path, cwd: Path, scripts: Sequence[Path], omit: Path) -> Scratch:
    """Copy the working folder and the scripts' folders into `tree`, which must not exist.

    Args:
        tree: absolute, free of symbolic links.
        cwd: absolute working folder of the caller, free of symbolic links.
        scripts: absolute files, free of symbolic links.
        omit: a folder that is never copied or linked (the one that holds `tree`).
    """
    places = _outermost([cwd, *(script.parent for script in scripts)])
    budget = _Budget(COPY_LIMIT, FILE_LIMIT)
    for script in scripts:  # first: they are copied whatever the budget
        target = _inside(tree, script)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(script, target)
    spine = {
        folder for path in (cwd, *(script.parent for script in scripts)) for folder in (path, *path.parents)
    }
    for place in places:
        _fill(place, _inside(tree, place), budget, spine, omit)
    for place in places:
        _link_neighbours(tree, place, omit)
    temporary = Path(tempfile.gettempdir()).resolve()
    protected = tuple(place for place in places if not _is_shared(place, temporary))
    allowed = (omit, *(temporary for place in protected if place in temporary.parents))
    return Scratch(tree, _inside(tree, cwd), protected, allowed)


def _inside(tree: Path, path: Path) -> Path:
    return tree / path.relative_to(path.anchor)


def _outermost(places: Sequence[Path]) -> list[Path]:
    unique = dict.fromkeys(places)
    return [place for place in unique if not any(other in place.parents for other in unique)]


def _is_shared(place: Path, temporary: Path) -> bool:
    """Home, the temporary folder and what holds them: programs rightly write below these by absolute path."""
    return any(place == shared or place in shared.parents for shared in (Path.home().resolve(), temporary))


@dataclass
class _Budget:
    bytes: int
    files: int

    def spend(self, size: int, files: int) -> bool:
        """Take it off if there is enough left."""
        if size > self.bytes or files > self.files:
            return False
        self.bytes -= size
        self.files -= files
        return True


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """What is worth having of a folder, in a fixed order; nothing of one that may not be read."""
    try:
        found = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in found:
        if entry.name in SKIPPED or os.path.exists(os.path.join(entry.path, "pyvenv.cfg")):
            continue
        if entry.is_symlink() or entry.is_dir() or entry.is_file():  # no sockets, no pipes
            yield entry


def _fill(source: Path, target: Path, budget: _Budget, spine: set[Path], omit: Path) -> None:
    """Copy what the budget allows, link the rest; the folders on the way to a script are never links."""
    target.mkdir(parents=True, exist_ok=True)
    for entry in _entries(source):
        here, there = Path(entry.path), target / entry.name
        if here == omit or there.is_file():
            continue
        if entry.is_symlink():
            _copy_link(here, there, source)
        elif not entry.is_dir():
            _copy_file(here, there, budget.spend(_bytes(entry), 1))
        elif here in spine:
            _fill(here, there, budget, spine, omit)
        elif here not in omit.parents and budget.spend(*_size(here, budget)):
            _copy_folder(here, there)
        else:
            there.symlink_to(here)


def _size(folder: Path, limit: _Budget) -> tuple[int, int]:
    """Bytes and files below, counted until they exceed the limit."""
    size = files = 0
    waiting = [folder]
    while waiting and size <= limit.bytes and files <= limit.files:
        for entry in _entries(waiting.pop()):
            files += 1
            if entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))
            elif not entry.is_symlink():
                size += _bytes(entry)
    return size, files


def _copy_folder(source: Path, target: Path) -> None:
    target.mkdir()
    for entry in _entries(source):
        here, there = Path(entry.path), target / entry.name
        if entry.is_symlink():
            _copy_link(here, there, source)
        elif entry.is_dir():
            _copy_folder(here, there)
        else:
            _copy_file(here, there, affordable=True)


def _bytes(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except FileNotFoundError:  # gone since the folder was listed: another program's temporary file
        return 0


def _copy_file(source: Path, target: Path, affordable: bool) -> None:
    if affordable and os.access(source, os.R_OK):
        shutil.copy2(source, target)
    else:
        target.symlink_to(source)


def _copy_link(source: Path, target: Path, folder: Path) -> None:
    """A link within its folder stays one; any other leads to the original."""
    text = os.readlink(source)
    leads_to = Path(os.path.realpath(source))
    inside = leads_to.is_relative_to(folder) and not os.path.isabs(text)
    target.symlink_to(text if inside else leads_to)


def _link_neighbours(tree: Path, place: Path, omit: Path) -> None:
    for parent in itertools.islice(place.parents, LEVELS_UP):
        try:
            entries = list(itertools.islice(os.scandir(parent), NEIGHBOURS))
        except OSError:  # may be passed through but not listed
            continue
        for entry in entries:
            there = _inside(tree, Path(entry.path))
            if Path(entry.path) != omit and not os.path.lexists(there):
                there.symlink_to(entry.path)
