"""Files and folders at a path or a URL: on this machine by the standard library, elsewhere (s3://, gs://, memory://) by fsspec.

What a URL's scheme needs besides fsspec, such as s3fs, fsspec asks for by name.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem  # type: ignore[import-untyped]


def is_url(path: Any) -> bool:
    return "://" in str(path)


def open_file(path: str | Path, mode: str = "r") -> IO[Any]:
    """As `open`, in UTF-8. A folder that is missing is made where the file is written."""
    if "b" in mode:
        options: dict[str, Any] = {}
    else:
        options = {"encoding": "utf-8", "newline": ""}
    if is_url(path):
        import fsspec  # rarely needed

        remote: IO[Any] = fsspec.open(str(path), mode, auto_mkdir=True, **options).open()
        return remote
    if "r" not in mode:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    return open(path, mode, **options)


def exists(path: str | Path) -> bool:
    if not is_url(path):
        return os.path.exists(path)
    files, inner = _remote(path)
    return bool(files.exists(inner))


def is_dir(path: str | Path) -> bool:
    if not is_url(path):
        return os.path.isdir(path)
    files, inner = _remote(path)
    return bool(files.isdir(inner))


def names(folder: str | Path) -> list[str]:
    """What is in a folder, by name; nothing where there is none."""
    if not is_dir(folder):
        return []
    if not is_url(folder):
        return os.listdir(folder)
    files, inner = _remote(folder)
    return [str(path).rstrip("/").rpartition("/")[2] for path in files.ls(inner, detail=False)]


def modified(path: str | Path) -> float:
    """When a file was written, in seconds since 1970; 0 where the storage does not say."""
    if not is_url(path):
        return os.stat(path).st_mtime
    files, inner = _remote(path)
    try:
        return float(files.modified(inner).timestamp())
    except NotImplementedError:
        return 0.0


def remove(path: str | Path) -> None:
    """Delete a file, or at a URL also a folder, if it is there."""
    if not is_url(path):
        Path(path).unlink(missing_ok=True)
        return
    files, inner = _remote(path)
    if files.exists(inner):
        files.rm(inner, recursive=True)


def copy(source: str | Path, target: str | Path) -> None:
    with open_file(source, "rb") as old, open_file(target, "wb") as new:
        shutil.copyfileobj(old, new)


def whole(path: str | Path) -> str:
    """The one spelling of a path or URL, to compare it by."""
    return str(path).rstrip("/") if is_url(path) else str(Path(path).resolve())


def _remote(path: str | Path) -> tuple[AbstractFileSystem, str]:
    from fsspec.core import url_to_fs  # type: ignore[import-untyped]

    files, inner = url_to_fs(str(path))
    return files, inner
