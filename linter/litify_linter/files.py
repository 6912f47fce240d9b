"""Which files to lint: paths from the command line -> Python files, folders searched."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from litify_linter.config import Settings
from litify_linter.gitignore import GitIgnore, gitignore_at


@dataclass(frozen=True, slots=True)
class Target:
    """A file to lint. One that was named, not found in a folder, is parsed whatever it contains."""

    path: str
    named: bool


@dataclass(frozen=True, slots=True)
class Problem:
    """A path that cannot be linted, and why."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def discover(
    paths: Sequence[str], settings: Callable[[Path], Settings], force_exclude: bool = False
) -> Iterator[Target | Problem]:
    """Every file to lint, each once, in the order of `paths`, folders in alphabetical order.

    In folders: files that end in .py or .ipynb, not excluded by settings or .gitignore, nor in templates; symbolic links to folders are not
    followed. A path that is itself given is linted even if excluded, unless `force_exclude`.
    """
    seen: set[str] = set()
    for given in paths:
        path = os.path.normpath(given)
        try:
            os.stat(path)
        except OSError as error:
            yield Problem(given, error.strerror or str(error))
            continue
        if force_exclude and settings(Path(path).absolute().parent).excludes_within(os.path.abspath(path)):
            continue
        if os.path.isdir(path):
            found: Iterator[Target | Problem] = _search(path, settings, gitignore_at(Path(path)))
        else:
            found = iter((Target(path, named=True),))
        for item in found:
            if item.path not in seen:
                seen.add(item.path)
                yield item


def _search(
    folder: str, settings: Callable[[Path], Settings], ignored: GitIgnore
) -> Iterator[Target | Problem]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        yield Problem(folder, f"folder cannot be listed: {error.strerror}")
        return
    here = settings(Path(folder))
    for entry in entries:
        path = entry.name if folder == "." else entry.path
        try:
            is_folder, is_file = entry.is_dir(follow_symlinks=False), entry.is_file()
        except OSError:  # a symbolic link that leads in a circle: no file to lint
            continue
        if not is_folder and not (is_file and entry.name.endswith((".py", ".ipynb"))):
            continue
        if "{{" in entry.name:  # a template of a project, no Python yet
            continue
        absolute = os.path.abspath(entry.path)
        if here.excludes(absolute) or ignored.ignores(absolute, is_folder):
            continue
        if is_folder:
            yield from _search(path, settings, ignored.enter(absolute))
        else:
            yield Target(path, named=False)
