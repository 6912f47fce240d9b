"""Which samples each process gets when several train together."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from itertools import cycle, islice
from typing import Any

import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
)

from litify.errors import MisconfigurationException
from litify.seed import seed_worker


class ShardedSampler(Sampler[Any]):
    """Every `world_size`-th item of another sampler, from `rank` on.

    Args:
        sampler: a sampler of indices or of batches; one that draws at random is made to draw the same in all processes.
        rank: which part, from 0.
        world_size: into how many parts.
        even: repeat the first items so that all parts are equally long, as training needs: each gradient is a common one.
            Otherwise parts may differ by one, and each item comes exactly once, as evaluation needs.
        seed: of the order, together with the epoch; the global generators are left as they are.
    """

    def __init__(self, sampler: Any, rank: int, world_size: int, even: bool, seed: int = 0) -> None:
        self.sampler = sampler
        self.rank, self.world_size, self.even, self.seed = rank, world_size, even, seed
        self.epoch = 0

    def __iter__(self) -> Iterator[Any]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed + self.epoch)
            items = list(self.sampler)
        if self.even:
            items = list(islice(cycle(items), self._part(len(items)) * self.world_size))
        return iter(items[self.rank :: self.world_size])

    def __len__(self) -> int:
        return self._part(len(self.sampler))

    def _part(self, total: int) -> int:
        spare = self.world_size - 1 if self.even else self.world_size - 1 - self.rank
        return (total + spare) // self.world_size

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch
        if hasattr(self.sampler, "set_epoch"):
            self.sampler.set_epoch(epoch)


def shard(loader: Any, rank: int, world_size: int, training: bool, shuffle: bool) -> Any:
    """The loader that gives this process its part of the samples; the user's own loader is left as it is.

    What the loader chose is kept: shuffling, a sampler of weights or of a subset, a sampler of whole batches. A loader that
    is already distributed, or has no samplers (an iterable data set, a plain list of batches), is returned unchanged.

    Raises:
        MisconfigurationException: evaluation of fewer samples than there are processes; one without any would never meet the
            others at the end of the epoch.
    """
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return loader
    batches = loader.batch_sampler
    if any(isinstance(each, (DistributedSampler, ShardedSampler)) for each in (loader.sampler, batches)):
        return loader
    whole = batches if batches is not None and type(batches) is not BatchSampler else loader.sampler
    if not training and len(whole) < world_size:  # type: ignore[arg-type]
        raise MisconfigurationException(
            f"{len(whole)} sample(s) cannot be evaluated by {world_size} processes: use fewer devices for this data, or "  # type: ignore[arg-type]
            "Trainer(use_distributed_sampler=False), which evaluates all of it in each"
        )
    seed = int(os.environ.get("PL_GLOBAL_SEED", "0"))
    loader = seed_workers(loader)
    if whole is batches:
        return _with(loader, batch_sampler=ShardedSampler(batches, rank, world_size, training, seed))
    inner = loader.sampler
    sampler: Sampler[Any]
    if training and _is_plain(inner):
        sampler = DistributedSampler(loader.dataset, world_size, rank, shuffle=shuffle, seed=seed)
    elif isinstance(inner, RandomSampler) and _is_plain(inner):  # evaluation: no order, but each sample once
        sampler = ShardedSampler(SequentialSampler(inner.data_source), rank, world_size, even=False)
    else:
        sampler = ShardedSampler(inner, rank, world_size, training, seed)
    return with_sampler(loader, sampler)


def seed_workers(loader: Any) -> Any:
    """The loader with worker processes that draw other random numbers on each rank; one that sees to it itself stays as it is."""
    if isinstance(loader, DataLoader) and loader.num_workers > 0 and loader.worker_init_fn is None:
        return _with(loader, worker_init_fn=seed_worker)
    return loader


def with_sampler(loader: DataLoader[Any], sampler: Sampler[Any]) -> DataLoader[Any]:
    """A copy of the loader with another sampler of indices; its sampler of batches stays of the same kind.

    Raises:
        MisconfigurationException: a batch sampler that is not made around a sampler of indices.
    """
    batches: Any = loader.batch_sampler
    if batches is None:
        return _with(loader, sampler=sampler)
    if not hasattr(batches, "sampler"):
        raise MisconfigurationException(
            f"The batch sampler {type(batches).__name__} has no attribute `sampler` that could be exchanged; give it one, or pass "
            "Trainer(use_distributed_sampler=False) and split the data yourself."
        )
    others = copy.copy(batches)
    others.sampler = sampler
    return _with(loader, sampler=sampler, batch_sampler=others)


def _is_plain(sampler: Any) -> bool:
    """Whether a sampler goes once through all samples of its data set, in order or shuffled."""
    if type(sampler) is RandomSampler:
        return not sampler.replacement and sampler.num_samples == len(sampler.data_source)
    return type(sampler) is SequentialSampler


def _with(loader: DataLoader[Any], **changes: Any) -> DataLoader[Any]:
    """A copy of the loader with other samplers, or another start of its workers.

    Copied, not built anew from its arguments, as a subclass may take others and hold more than a DataLoader does. A
    DataLoader refuses assignment to its samplers, so they go straight into the copy's dictionary.
    """
    other = copy.copy(loader)
    vars(other).update(changes, _iterator=None)
    return other
