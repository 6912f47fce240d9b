"""How checkpoints become files: one dictionary <-> one file, written whole or not at all.

A folder of shards, as FSDP writes it, is read here too; `sharded_checkpoint.py` knows what is in it.
"""

from __future__ import annotations

import io
import os
import pickle
import re
import shutil
import time
import zipfile
from argparse import Namespace
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path, PosixPath, PurePosixPath
from typing import IO, Any

import torch

from litify import storage
from litify.errors import CheckpointError
from litify.hparams import AttributeDict

torch.serialization.add_safe_globals([Namespace, AttributeDict, timedelta, PosixPath, PurePosixPath])


class CheckpointIO:
    """How a strategy writes and reads checkpoints. `Trainer(plugins=[...])` takes one of your own."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write; called on rank 0.

        Args:
            storage_options: what `Trainer.save_checkpoint` was given.
        """
        raise NotImplementedError

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read; called on every rank."""
        raise NotImplementedError

    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete; called on rank 0."""
        raise NotImplementedError

    def teardown(self) -> None:
        """The end of fit, validate, test or predict."""


class TorchCheckpointIO(CheckpointIO):
    """Files by torch.save and torch.load; at a URL by fsspec."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """`save`.

        Raises:
            TypeError: storage_options, which nothing here takes.
        """
        if storage_options is not None:
            raise TypeError(
                "Trainer.save_checkpoint(storage_options=...): the Trainer's own way to write takes none; pass a CheckpointIO of your "
                "own as Trainer(plugins=[...])."
            )
        save(checkpoint, path)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return load(path, map_location, weights_only)

    def remove_checkpoint(self, path: str | Path) -> None:
        if storage.is_url(path):
            storage.remove(path)
        else:
            remove(Path(path))


def save(checkpoint: Mapping[str, Any], path: str | Path) -> None:
    """Write to a temporary name beside `path`, sync, rename: the file is there whole, or the old one is.

    At a URL the file is sent in one piece, which object stores show when it is there whole.

    Raises:
        OSError: the disk is full, or the folder cannot be written to; nothing is left behind.
    """
    if storage.is_url(path):
        whole = io.BytesIO()
        torch.save(dict(checkpoint), whole)
        with storage.open_file(path, "wb") as remote:
            remote.write(whole.getbuffer())
        return
    path = Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():  # /dev/null, a pipe: never renamed over
        torch.save(dict(checkpoint), path)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = beside(path)
    try:
        with open(temporary, "wb") as file:
            torch.save(dict(checkpoint), file)
            file.flush()
            os.fsync(file.fileno())
        put_in_place(temporary, path)
    except (OSError, RuntimeError) as error:
        temporary.unlink(missing_ok=True)
        cause = os_error(error)
        if cause is None:
            raise
        raise not_written(path, cause) from None
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def beside(path: Path) -> Path:
    """A name in the same folder to write to first; `remove_leftovers` knows it."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def put_in_place(temporary: Path, path: Path) -> None:
    """Rename a finished file or folder to `path`, in place of what is there, and make that last through a power cut."""
    old = None
    if (path.is_dir() and not path.is_symlink()) or (temporary.is_dir() and path.exists()):
        # Only a file can be replaced by a file in one go. Killed between the two renames, both are there under hidden names.
        old = path.with_name(f".{path.name}.old.{os.getpid()}.tmp")
        os.replace(path, old)
    os.replace(temporary, path)
    if hasattr(os, "O_DIRECTORY"):
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    if old is not None:
        remove(old)


def remove(path: Path) -> None:
    """Delete a file, a link, or a folder; the folder under another name, as one half deleted must not look like a checkpoint."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    if not path.name.endswith(".tmp"):
        gone = beside(path)
        os.replace(path, gone)
        path = gone
    shutil.rmtree(path)


def not_written(path: Path, cause: OSError) -> OSError:
    """What is said where a checkpoint could not be written."""
    return OSError(
        cause.errno,
        f"{path}: cannot be written ({cause.strerror}); checkpoints written before are as they were",
    )


def os_error(error: BaseException | None) -> OSError | None:
    """What made a write fail; torch's writer hides it behind a RuntimeError of its own."""
    while error is not None and not isinstance(error, OSError):
        error = error.__context__
    return error


def remove_leftovers(folder: Path) -> None:
    """Delete what writers left that were killed while they wrote, an hour ago or more."""
    for path in folder.glob(".*.tmp"):
        if re.fullmatch(r"\..+\.\d+\.tmp", path.name) and time.time() - path.stat().st_mtime > 3600:
            remove(path)


def load(
    path: str | Path | IO[bytes],
    map_location: Any = None,
    weights_only: bool | None = None,
    mmap: bool = False,
) -> dict[str, Any]:
    """Read a checkpoint, a file or a folder of shards, to the CPU unless `map_location` says otherwise.

    Args:
        weights_only: None and True refuse files that hold objects other than tensors and plain data, as those run code.
        mmap: leave tensors in the file until they are read, so that the processes of a machine share them.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: it cannot be read, and why.
    """
    if isinstance(path, str) and path.startswith(("http://", "https://")):
        return dict(
            torch.hub.load_state_dict_from_url(
                path, map_location="cpu", weights_only=weights_only is not False
            )
        )
    if isinstance(path, (str, Path)) and not storage.exists(path):
        raise FileNotFoundError(f"There is no checkpoint {path}; look for its name, or leave ckpt_path out.")
    name = path
    if isinstance(path, (str, Path)) and storage.is_url(path):
        with storage.open_file(path, "rb") as remote:
            path = io.BytesIO(remote.read())
    if isinstance(path, (str, Path)) and Path(path).is_dir():
        from litify.plugins import (
            sharded_checkpoint,
        )  # imports torch.distributed.checkpoint: a second, rarely needed

        return sharded_checkpoint.read(Path(path), map_location, weights_only)
    try:
        found = torch.load(
            path,
            map_location="cpu" if map_location is None else map_location,
            weights_only=weights_only is not False,
            mmap=mmap and isinstance(path, (str, Path)) and zipfile.is_zipfile(path),
        )
    except pickle.UnpicklingError as error:
        if "global" in str(error).lower():  # torch names the class as an unsupported global
            raise CheckpointError(
                f"{name}: holds objects besides tensors and plain data ({_class_in(error)}); loading them runs code of the file. "
                "If you trust it, pass weights_only=False."
            ) from None
        raise CheckpointError(f"{name}: is no checkpoint, or is damaged ({_first_line(error)}).") from None
    except PermissionError as error:
        raise CheckpointError(f"{name}: cannot be read ({error.strerror}).") from None
    except (RuntimeError, OSError, EOFError, ValueError, LookupError, AttributeError, ImportError) as error:
        raise CheckpointError(
            f"{name}: cannot be read, it is damaged or cut short ({_first_line(error)})."
        ) from None
    if not isinstance(found, dict):
        raise CheckpointError(f"{name}: holds a {type(found).__name__}, not the dictionary of a checkpoint.")
    if (
        "state_dict" not in found
        and found
        and all(isinstance(value, torch.Tensor) for value in found.values())
    ):
        raise CheckpointError(
            f"{name}: holds weights alone; load it with module.load_state_dict(torch.load(...))."
        )
    return found


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _class_in(error: BaseException) -> str:
    found = re.search(r"GLOBAL (\S+)", str(error), re.IGNORECASE)
    return found.group(1) if found else "classes of its own"
