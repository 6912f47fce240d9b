"""Walking through batches: any nesting of tensors, lists, tuples, dictionaries and data classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor


def apply(batch: Any, function: Callable[[Tensor], Any]) -> Any:
    """The batch with `function` applied to each tensor; everything else as it is, containers of the same types."""
    if isinstance(batch, Tensor):
        return function(batch)
    if isinstance(batch, Mapping):
        items = {key: apply(value, function) for key, value in batch.items()}
        return items if type(batch) is dict else _same_mapping(batch, items)
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(apply(value, function) for value in batch))
    if isinstance(batch, (list, tuple)):
        return type(batch)(apply(value, function) for value in batch)
    if dataclasses.is_dataclass(batch) and not isinstance(batch, type):
        copy = object.__new__(type(batch))
        copy.__dict__.update({key: apply(value, function) for key, value in vars(batch).items()})
        return copy
    return batch


def _same_mapping(batch: Mapping[Any, Any], items: dict[Any, Any]) -> Any:
    if hasattr(batch, "default_factory"):
        return type(batch)(batch.default_factory, items)  # type: ignore[call-arg]
    try:
        return type(batch)(items)  # type: ignore[call-arg]
    except TypeError:
        return items


def to_device(batch: Any, device: torch.device) -> Any:
    """The batch on `device`. Objects with a `to` method of their own (torch_geometric, BatchEncoding) use it."""
    if isinstance(batch, Tensor):
        # Waiting for the copy is only needed where the source is not pinned, and then it is synchronous anyway.
        return batch.to(device, non_blocking=device.type != "cpu" and device.type != "mps")
    if callable(getattr(batch, "to", None)):
        moved = batch.to(device)
        return batch if moved is None else moved
    if isinstance(batch, Mapping):
        items = {key: to_device(value, device) for key, value in batch.items()}
        return items if type(batch) is dict else _same_mapping(batch, items)
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(to_device(value, device) for value in batch))
    if isinstance(batch, (list, tuple)):
        return type(batch)(to_device(value, device) for value in batch)
    if dataclasses.is_dataclass(batch) and not isinstance(batch, type):
        copy = object.__new__(type(batch))
        copy.__dict__.update({key: to_device(value, device) for key, value in vars(batch).items()})
        return copy
    return batch


move_data_to_device = to_device  # what Lightning calls it
