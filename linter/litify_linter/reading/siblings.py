"""Classes in the files beside a script: `from base import BaseModule`, where base.py defines a LightningModule."""

from __future__ import annotations

import ast
import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass

from litify_linter.reading.digests import LARGEST, digest_of, read_bytes
from litify_linter.reading.imports import Imports
from litify_linter.reading.lightning import LightningClass, LightningNames, lightning_classes
from litify_linter.reading.source import UnreadableSource, read_source

DEPTH = 5


@dataclass(frozen=True)
class _Read:
    """A file beside: its content's digest, its Lightning classes, and what its names were imported as."""

    digest: str
    classes: dict[str, LightningClass]
    imported: dict[str, str]


class Siblings:
    """The files that a file may import its base classes from, read when a base class asks for them.

    Attributes:
        path: the file's own path, absolute.
        consulted: path -> digest of its content, None where there is no such file: what the answers depend on.
    """

    def __init__(self, path: str, depth: int = DEPTH) -> None:
        self.path = os.path.abspath(path)
        self._folder = os.path.dirname(self.path)
        self._depth = depth
        self.consulted: dict[str, str | None] = {}

    def lightning(self, qualified: str) -> LightningClass | None:
        """The Lightning class of this qualified name ("base.BaseModule", ".base.BaseModule"), or None."""
        if self._depth == 0:
            return None
        for path, name in self._candidates(qualified):
            read = read_sibling(path, self._depth)
            self.consulted[path] = read.digest if read is not None else None
            if read is None:
                continue
            if name in read.classes:
                return read.classes[name]
            if name in read.imported:  # a package's __init__ that hands the class on
                further = Siblings(path, self._depth - 1)
                found = further.lightning(read.imported[name])
                self.consulted.update(further.consulted)
                return found
        return None

    def _candidates(self, qualified: str) -> Iterator[tuple[str, str]]:
        """(path of a file that may hold it, its name there)."""
        text = qualified.lstrip(".")
        level = len(qualified) - len(text)
        *parts, name = text.split(".")
        if not parts and not level:
            return
        # `from . import base` makes "..base": one dot too many, which cannot be told from `from .. import`.
        folders = [_above(self._folder, level - 1), _above(self._folder, max(level - 2, 0))] if level else []
        for folder in dict.fromkeys(folders or [self._folder, _import_root(self._folder)]):
            place = os.path.join(folder, *parts)
            yield f"{place}.py", name
            yield os.path.join(place, "__init__.py"), name


def _above(folder: str, levels: int) -> str:
    for _ in range(levels):
        folder = os.path.dirname(folder)
    return folder


def _import_root(folder: str) -> str:
    """The folder above the package that a folder is part of."""
    while os.path.isfile(os.path.join(folder, "__init__.py")) and os.path.dirname(folder) != folder:
        folder = os.path.dirname(folder)
    return folder


def read_sibling(path: str, depth: int = DEPTH) -> _Read | None:
    """What a file beside holds, None where it is missing, too long, or no Python."""
    try:
        status = os.stat(path)
        if status.st_size > LARGEST:
            return None
        return _read(path, status.st_mtime_ns, status.st_size, depth)
    except (OSError, ValueError):
        return None


@functools.lru_cache(maxsize=256)
def _read(path: str, changed: int, size: int, depth: int) -> _Read | None:
    data = read_bytes(path)
    digest = digest_of(data)
    try:
        source = read_source(data)
    except UnreadableSource:
        return _Read(digest, {}, {})
    imports = Imports(source.tree)
    every = [node for node in ast.walk(source.tree) if isinstance(node, ast.ClassDef)]
    stars = [n for n in ast.walk(source.tree) if isinstance(n, ast.ImportFrom) and n.names[0].name == "*"]
    names = LightningNames(imports, stars)
    found = lightning_classes(every, {cls.name: cls for cls in every}, names, Siblings(path, depth - 1))
    return _Read(digest, {cls.name: one for cls, one in found.items()}, imports.names)
