"""How checkpoints become files: one dictionary <-> one file, written whole or not at all."""

from __future__ import annotations

import os
import pickle
import re
import shutil
import time
from argparse import Namespace
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path, PosixPath, PurePosixPath
from typing import IO, Any

import torch

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
    """Local files, by torch.save and torch.load."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """`save`.

        Raises:
            TypeError: storage_options, which nothing here takes.
        """
        if storage_options is not None:
            raise TypeError(
                "Trainer.save_checkpoint(storage_options=...): files are written to local paths; pass a CheckpointIO of your own "
                "as Trainer(plugins=[...]) for another storage."
            )
        save(checkpoint, path)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return load(path, map_location, weights_only)

    def remove_checkpoint(self, path: str | Path) -> None:
        if Path(path).is_dir() and not Path(path).is_symlink():
            shutil.rmtree(path)
        else:
            Path(path).unlink(missing_ok=True)


def save(checkpoint: Mapping[str, Any], path: str | Path) -> None:
    """Write to a temporary name beside `path`, sync, rename: the file is there whole, or the old one is.

    Raises:
        OSError: the disk is full, or the folder cannot be written to; nothing is left behind.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            torch.save(dict(checkpoint), file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        temporary.unlink(missing_ok=True)
        cause = _os_error(error)
        if cause is None:
            raise
        raise OSError(
            cause.errno,
            f"{path}: cannot be written ({cause.strerror}); checkpoints written before are as they were",
        ) from None
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if hasattr(os, "O_DIRECTORY"):  # make the rename last, too
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _os_error(error: BaseException | None) -> OSError | None:
    """What made a write fail; torch's writer hides it behind a RuntimeError of its own."""
    while error is not None and not isinstance(error, OSError):
        error = error.__context__
    return error


def remove_leftovers(folder: Path) -> None:
    """Delete what writers left that were killed while they wrote, an hour ago or more."""
    for path in folder.glob(".*.tmp"):
        if re.fullmatch(r"\..+\.\d+\.tmp", path.name) and time.time() - path.stat().st_mtime > 3600:
            path.unlink(missing_ok=True)


def load(
    path: str | Path | IO[bytes], map_location: Any = None, weights_only: bool | None = None
) -> dict[str, Any]:
    """Read a checkpoint, to the CPU unless `map_location` says otherwise.

    Args:
        weights_only: None and True refuse files that hold objects other than tensors and plain data, as those run code.

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
    if isinstance(path, (str, Path)) and not Path(path).exists():
        raise FileNotFoundError(f"There is no checkpoint {path}; look for its name, or leave ckpt_path out.")
    try:
        found = torch.load(
            path,
            map_location="cpu" if map_location is None else map_location,
            weights_only=weights_only is not False,
        )
    except pickle.UnpicklingError as error:
        if "global" in str(error).lower():  # torch names the class as an unsupported global
            raise CheckpointError(
                f"{path}: holds objects besides tensors and plain data ({_class_in(error)}); loading them runs code of the file. "
                "If you trust it, pass weights_only=False."
            ) from None
        raise CheckpointError(f"{path}: is no checkpoint, or is damaged ({_first_line(error)}).") from None
    except PermissionError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}).") from None
    except (RuntimeError, OSError, EOFError, ValueError, LookupError, AttributeError, ImportError) as error:
        raise CheckpointError(
            f"{path}: cannot be read, it is damaged or cut short ({_first_line(error)})."
        ) from None
    if not isinstance(found, dict):
        raise CheckpointError(f"{path}: holds a {type(found).__name__}, not the dictionary of a checkpoint.")
    if (
        "state_dict" not in found
        and found
        and all(isinstance(value, torch.Tensor) for value in found.values())
    ):
        raise CheckpointError(
            f"{path}: holds weights alone; load it with module.load_state_dict(torch.load(...))."
        )
    return found


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _class_in(error: BaseException) -> str:
    for word in str(error).replace("`", " ").split():
        if word.count(".") and word[0].isalpha() and not word.startswith(("torch.serialization", "https")):
            return word.rstrip(".,")
    return "classes of its own"
