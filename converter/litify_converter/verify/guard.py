"""Keeps a recorded script from changing the user's files.

The script runs in a scratch copy in which big or distant files are symbolic links to the originals. Before
anything writes through such a link, the link is replaced by a copy (copy on write). A write by absolute path into
the user's own folders is refused. Both are done in an audit hook, so they see what Python code opens, removes and
renames; what a C library opens by itself (cv2.imwrite, an HDF5 file) is not seen, except torch.save.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import threading
from collections.abc import Callable
from typing import Any

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# audit event -> how many of its first arguments are paths that change
_CHANGES = {
    "os.remove": 1,
    "os.rename": 2,
    "os.mkdir": 1,
    "os.rmdir": 1,
    "os.truncate": 1,
    "os.chmod": 1,
    "os.utime": 1,
    "shutil.rmtree": 1,
}


def install(tree: str, protected: tuple[str, ...], allowed: tuple[str, ...] = ()) -> None:
    """Watch this process until it ends (an audit hook cannot be removed).

    `tree` is the scratch copy of the file system's root; `protected` are real folders that must not
    change, except for what is in the folders `allowed`.
    """
    guard = _Guard(tree, protected, allowed)
    sys.addaudithook(guard.audit)
    _tell_of_torch_save(guard)


class _Guard:
    def __init__(self, tree: str, protected: tuple[str, ...], allowed: tuple[str, ...] = ()) -> None:
        self.tree = tree + os.sep
        self.protected = tuple(folder + os.sep for folder in protected)
        self.allowed = tuple(folder + os.sep for folder in (*allowed, sys.prefix, sys.base_prefix))
        self.busy = threading.local()  # our own file operations raise audit events too

    def audit(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = args
            if isinstance(flags, int) and flags & _WRITES:
                self.before_write(path, keep=not flags & os.O_TRUNC)
        elif event in _CHANGES:
            for path in args[: _CHANGES[event]]:
                self.before_change(path)

    def before_write(self, path: Any, keep: bool = True) -> None:
        """Make `path` a file of the scratch copy; its content is copied only when it will be read or added to."""
        self._apart(path, lambda text: _own_file(text, self.tree, keep))

    def before_change(self, path: Any) -> None:
        """Make the folder around `path` one of the scratch copy, so that only a link in it is changed."""
        self._apart(path, lambda text: _own_folder(os.path.dirname(text), self.tree))

    def _apart(self, path: Any, own: Callable[[str], None]) -> None:
        if getattr(self.busy, "now", False) or not isinstance(path, (str, bytes, os.PathLike)):
            return
        self.busy.now = True
        try:
            text = os.path.abspath(os.fsdecode(path))
            if text.startswith(self.tree):
                own(text)
            elif self._is_protected(text):
                raise PermissionError(
                    errno.EACCES, "litify verify works on a scratch copy; not changed by absolute path", text
                )
        finally:
            self.busy.now = False

    def _is_protected(self, text: str) -> bool:
        """Inside the user's own folders, except for hidden folders, caches and the Python installation."""
        real = os.path.join(os.path.realpath(os.path.dirname(text)), os.path.basename(text))
        folder = next((folder for folder in self.protected if real.startswith(folder)), None)
        if folder is None or real.startswith(self.allowed):
            return False
        parts = real[len(folder) :].split(os.sep)
        return not any(part.startswith(".") or part == "__pycache__" for part in parts)


def _own_folder(folder: str, tree: str) -> None:
    """Turn every linked folder on the way to `folder` into a real one full of links."""
    here = tree.rstrip(os.sep)
    for part in folder[len(tree) :].split(os.sep):
        here = os.path.join(here, part)
        if not os.path.islink(here):
            continue
        original = os.path.realpath(here)
        if not os.path.isdir(original) or (original + os.sep).startswith(tree):
            continue
        os.unlink(here)
        os.mkdir(here)
        for name in os.listdir(original):
            os.symlink(os.path.join(original, name), os.path.join(here, name))


def _own_file(path: str, tree: str, keep: bool) -> None:
    _own_folder(os.path.dirname(path), tree)
    if not os.path.islink(path):
        return
    original = os.path.realpath(path)
    if original.startswith(tree) or os.path.isdir(original) or not _is_regular(original):
        return
    os.unlink(path)
    if keep and os.path.exists(original):
        shutil.copyfile(original, path)


def _is_regular(path: str) -> bool:
    return os.path.isfile(path) or not os.path.exists(path)  # /dev/null stays what it is


def _tell_of_torch_save(guard: _Guard) -> None:
    """torch.save opens its file in C++, where no audit event is raised."""
    import torch

    save = torch.save

    def guarded_save(obj: object, f: Any, *args: Any, **kwargs: Any) -> None:
        guard.before_write(f, keep=False)
        save(obj, f, *args, **kwargs)

    torch.save = torch.serialization.save = guarded_save
