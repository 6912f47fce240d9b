"""Checkpoints as folders: tensors that are spread over processes stay so on disk, by torch.distributed.checkpoint (DCP).

    NAME.ckpt/
        .metadata, __0_0.distcp, __1_0.distcp ...   the tensors, each process having written its own parts
        meta.pt                                     the checkpoint's dictionary, with tensors of device "meta" in their place

A tensor's key among the shards is its place in the dictionary: `state_dict.net.weight`, `optimizer_states.0.state.3.exp_avg`.
Any number of processes can read such a folder, also one; `read` makes the dictionary of a single-file checkpoint of it.
"""

from __future__ import annotations

import os
import pickle
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load as load_shards
from torch.distributed.checkpoint.state_dict_saver import save as save_shards
from torch.distributed.tensor import DTensor

from litify.errors import CheckpointError

META = "meta.pt"
WEIGHTS = "state_dict"


# -- dictionary -> folder ---------------------------------------------------------------------------------------------------


def split(checkpoint: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors that go to shards, by key, and the dictionary with empty ones in their place.

    All weights go there, and whatever else is spread over processes.
    """
    shards: dict[str, Tensor] = {}

    def place(key: str, tensor: Tensor) -> Any:
        if not isinstance(tensor, DTensor) and not key.startswith(f"{WEIGHTS}."):
            return tensor
        shards[key] = tensor.detach()
        return torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")

    rest: dict[str, Any] = walk(dict(checkpoint), place)
    return shards, rest


def walk(tree: Any, function: Callable[[str, Tensor], Any], key: str = "") -> Any:
    """A copy of nested dictionaries and lists, with each tensor replaced by `function(key, tensor)`."""
    if isinstance(tree, Tensor):
        return function(key, tree)
    if type(tree) is list or type(tree) is tuple:
        return type(tree)(walk(value, function, f"{key}.{index}") for index, value in enumerate(tree))
    if isinstance(tree, dict):
        items = {
            name: walk(value, function, f"{key}.{name}" if key else str(name)) for name, value in tree.items()
        }
        if type(tree) is dict:
            return items
        same = tree.copy()
        same.update(items)
        return same
    return tree


def write(checkpoint: Mapping[str, Any], folder: Path, rank: int) -> None:
    """Write a checkpoint to a new folder. Every process calls this, with the same keys in the same order.

    Raises:
        OSError: some process could not write; raised in all.
    """
    shards, rest = split(checkpoint)
    rest[WEIGHTS] = dict(rest[WEIGHTS])  # torch's own has attributes that are not needed
    try:
        save_shards(shards, storage_writer=Writer(folder, rest if rank == 0 else None))
    except CheckpointException as error:  # no Exception: it would pass by everything that cleans up
        causes = [failure[0] for failure in error.failures.values()]
        found = next((cause for cause in causes if isinstance(cause, OSError)), None)
        if found is None:
            raise RuntimeError(f"{folder}: {_first(causes)}") from None
        raise OSError(found.errno, found.strerror) from None


class Writer(FileSystemWriter):
    """Writes shards; and meta.pt before the file that makes them a checkpoint, so that its failure is everybody's."""

    def __init__(self, folder: Path, rest: dict[str, Any] | None) -> None:
        super().__init__(folder)
        self.folder, self.rest = folder, rest

    def finish(self, metadata: Metadata, results: Any) -> None:
        """The last step, which rank 0 takes once all have written; it tells the others how it went."""
        with open(self.folder / META, "wb") as file:
            torch.save(self.rest, file)
            file.flush()
            os.fsync(file.fileno())
        super().finish(metadata, results)


# -- folder -> dictionary ---------------------------------------------------------------------------------------------------


def read_meta(folder: Path, weights_only: bool | None = None) -> dict[str, Any]:
    """The dictionary, with tensors of device "meta" where `fill` is to put those of the shards.

    Raises:
        CheckpointError: a file is missing, cut short or damaged, or no checkpoint of litify.
    """
    from litify.plugins.checkpoint_io import load  # which reads folders by way of this module

    if not (folder / META).is_file() or not (folder / ".metadata").is_file():
        missing = META if (folder / ".metadata").is_file() else ".metadata"
        raise CheckpointError(f"{folder}: is a folder, but no checkpoint of shards: it has no {missing}.")
    metadata = Reader(folder).read_metadata()
    for place in metadata.storage_data.values():
        file = folder / place.relative_path
        if not file.is_file() or file.stat().st_size < place.offset + place.length:
            raise CheckpointError(f"{folder}: {file.name} is missing or cut short.")
    found = load(folder / META, weights_only=weights_only)
    shards: dict[str, Tensor] = {}
    walk(found, lambda key, tensor: shards.update({key: tensor}) if tensor.is_meta else None)
    for key, tensor in shards.items():
        kept = metadata.state_dict_metadata.get(key)
        if not isinstance(kept, TensorStorageMetadata) or kept.size != tensor.shape:
            raise CheckpointError(f"{folder}: its shards lack {key}, which {META} names.")
    return found


def fill(folder: Path, tensors: dict[str, Tensor], alone: bool) -> None:
    """Read shards, in place, into tensors of any placement.

    Args:
        tensors: by key; spread over processes or not.
        alone: this process reads by itself; otherwise all must call this.

    Raises:
        CheckpointError: a shard cannot be read.
    """
    if not tensors:
        return
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.distributed is disabled, unavailable or uninitialized")
            load_shards(dict(tensors), storage_reader=Reader(folder), no_dist=alone)
    except CheckpointException as error:
        cause = _first([failure[0] for failure in error.failures.values()])
        raise CheckpointError(f"{folder}: cannot be read ({cause}).") from None


def read(folder: Path, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
    """The whole checkpoint, as a single file would hold it. This process reads by itself.

    Raises:
        CheckpointError: see `read_meta`.
    """
    shards: dict[str, Tensor] = {}

    def make(key: str, tensor: Tensor) -> Tensor:
        if not tensor.is_meta:
            return tensor
        shards[key] = torch.empty(tensor.shape, dtype=tensor.dtype)
        return shards[key]

    found: dict[str, Any] = walk(read_meta(folder, weights_only), make)
    fill(folder, shards, alone=True)
    if isinstance(map_location, (str, torch.device, int)):
        found = walk(found, lambda key, tensor: tensor.to(map_location))
    return found


def consolidate(folder: str | Path, file: str | Path, weights_only: bool | None = None) -> None:
    """Make a single-file checkpoint of a folder of shards; it has the keys of any other, and loads anywhere.

    Args:
        file: where to; written whole or not at all.

    Raises:
        CheckpointError: the folder is no checkpoint of shards, or is damaged.
    """
    from litify.plugins.checkpoint_io import save  # which reads folders by way of this module

    if not Path(folder).is_dir():
        raise CheckpointError(f"{folder}: is no folder, so there are no shards to put together.")
    save(read(Path(folder), weights_only=weights_only), file)


class Reader(FileSystemReader):
    """Reads shards; their table of contents, a pickle, without running any code of it."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """The table of contents.

        Raises:
            CheckpointError: it is damaged, or holds something else.
        """
        path = Path(str(self.path)) / ".metadata"
        try:
            with open(path, "rb") as file:
                metadata = TableOfContents(file).load()
        except (pickle.UnpicklingError, EOFError, AttributeError, ValueError, TypeError, IndexError) as error:
            raise CheckpointError(f"{path}: is damaged, or no table of shards ({error}).") from None
        if not isinstance(metadata, Metadata):
            raise CheckpointError(f"{path}: is no table of shards.")
        if getattr(metadata, "storage_meta", None) is not None:
            metadata.storage_meta.load_id = self.load_id  # type: ignore[union-attr]
        return metadata


class TableOfContents(pickle.Unpickler):
    """Unpickles what DCP writes as `.metadata`, and nothing else."""

    KNOWN = re.compile(
        r"torch\.distributed\.checkpoint\.(metadata\.(Metadata|MetadataIndex|TensorStorageMetadata|BytesStorageMetadata"
        r"|ChunkStorageMetadata|TensorProperties|StorageMeta|_MEM_FORMAT_ENCODING)|filesystem\._StorageInfo)"
        r"|torch\.Size|torch\.serialization\._get_layout|collections\.OrderedDict"
        r"|pathlib(\._local)?\.(Pure)?(Posix|Windows)?Path"
    )

    def find_class(self, module: str, name: str) -> Any:
        found = getattr(torch, name, None) if module == "torch" else None
        if isinstance(found, torch.dtype):
            return found
        if not self.KNOWN.fullmatch(f"{module}.{name}"):
            raise pickle.UnpicklingError(f"it wants {module}.{name}")
        return super().find_class(module, name)


def _first(errors: list[BaseException]) -> str:
    return (str(errors[0]).splitlines() or [type(errors[0]).__name__])[0][:200]
