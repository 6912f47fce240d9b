"""Loaders: where they come from, how many batches are taken, samplers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler

from litify.combined_loader import CombinedLoader, is_loader, leaves
from litify.errors import MisconfigurationException
from litify.rank_zero import PossibleUserWarning, warn
from litify.strategies.base import Strategy

Limit = int | float


class Loaders:
    """The loaders of one kind (train, val, test, predict), ready to be iterated.

    Attributes:
        source: what the user gave: one loader, several, or a CombinedLoader. What `trainer.train_dataloader` returns.
        flat: the loaders one by one, samplers in place.
        limits: how many batches to take of each; `math.inf` for all of one without a length.
    """

    def __init__(
        self, source: Any, flat: list[Any], limits: list[float], combined: CombinedLoader | None
    ) -> None:
        self.source = source
        self.flat = flat
        self.limits = limits
        self.combined = combined

    @property
    def sequential(self) -> bool:
        """Whether the loaders are gone through one after another."""
        return self.combined is None or self.combined.mode == "sequential"

    @property
    def num_batches(self) -> float:
        """Batches of one epoch over all loaders; `math.inf` when unknown."""
        if self.combined is None:
            return self.limits[0]
        self.combined.limits = self.limits
        length = self.combined.count()
        return math.inf if length is None else length

    @property
    def is_whole(self) -> bool:
        """Whether an epoch takes all batches of a single loader, so that it should be run to its end."""
        return self.combined is None and self.limits[0] == length_of(self.flat[0])

    def iterate(self) -> Iterator[Any]:
        """An iterator over batches, of all loaders at once. Draws from the random state what the loader's own `iter` draws."""
        if self.combined is None:
            return iter(self.flat[0])
        self.combined.limits = self.limits
        return (batch for batch, _, _ in iter(self.combined))

    def set_epoch(self, strategy: Strategy, epoch: int) -> None:
        for loader in self.flat:
            strategy.set_epoch(loader, epoch)


def prepare(
    source: Any,
    kind: str,
    limit: Limit,
    strategy: Strategy,
    replace_sampler: bool = True,
    overfit: bool = False,
) -> Loaders:
    """Check loaders, give each process its part, and count batches.

    Args:
        source: a loader, a list or dictionary of loaders, or a CombinedLoader. A list of batches is a loader.
        kind: "train", "val", "test" or "predict".
        limit: `Trainer(limit_<kind>_batches=...)`: a number of batches, or a fraction of them.
        overfit: take the same batches each epoch: samplers that shuffle are replaced.

    Raises:
        TypeError: something that is no loader.
        MisconfigurationException: a limit that cannot be met.
    """
    combined = None
    if isinstance(source, CombinedLoader):
        combined, flat = source, list(source.flattened)
    elif is_loader(source):
        flat = [source]
    else:
        flat = leaves(source)
        if not flat or not all(map(is_loader, flat)):
            raise TypeError(
                f"{type(source).__name__} given as {kind} data is no loader: pass a DataLoader, a list of batches, any iterable of "
                "batches, or a list or dictionary of those."
            )
        combined = CombinedLoader(source, "max_size_cycle" if kind == "train" else "sequential")
    made = [_process(loader, kind, strategy, replace_sampler, overfit) for loader in flat]
    if combined is not None:
        combined.flattened = made
    limits = [number_of_batches(length_of(loader), limit, kind) for loader in made]
    return Loaders(source if combined is None else combined, made, limits, combined)


def _process(loader: Any, kind: str, strategy: Strategy, replace_sampler: bool, overfit: bool) -> Any:
    shuffle = shuffles(loader)
    if overfit and shuffle and kind in ("train", "val"):
        warn(
            f"overfit_batches: the {kind} loader shuffles; its order is fixed now, so that batches stay the same."
        )
        loader = rebuild(loader, sampler=SequentialSampler(loader.dataset))
    elif kind != "train" and shuffle:
        warn(f"The {kind} loader shuffles; evaluation is easier to compare without.", PossibleUserWarning)
    return strategy.process_loader(
        loader,
        training=kind == "train",
        shuffle=shuffle and kind == "train" and not overfit,
        replace_sampler=replace_sampler,
    )


def rebuild(loader: DataLoader[Any], sampler: Any) -> DataLoader[Any]:
    """The same DataLoader with another sampler of indices (or, around a batch sampler, of that class)."""
    arguments: dict[str, Any] = {
        name: getattr(loader, name)
        for name in (
            "num_workers", "collate_fn", "pin_memory", "timeout", "worker_init_fn", "multiprocessing_context", "generator",
            "prefetch_factor", "persistent_workers",
        )
    }  # fmt: skip
    batches: Any = loader.batch_sampler
    if batches is None:
        arguments.update(batch_size=None, sampler=sampler)
    elif type(batches) is BatchSampler:
        arguments.update(batch_size=loader.batch_size, drop_last=loader.drop_last, sampler=sampler)
    else:
        try:
            arguments["batch_sampler"] = type(batches)(sampler, batches.batch_size, batches.drop_last)
        except (AttributeError, TypeError):
            raise MisconfigurationException(
                f"The batch sampler {type(batches).__name__} cannot be rebuilt around another sampler. Make it with "
                "(sampler, batch_size, drop_last), or pass Trainer(use_distributed_sampler=False) and split the data yourself."
            ) from None
    return type(loader)(loader.dataset, **arguments)


def shuffles(loader: Any) -> bool:
    """Whether a DataLoader draws its samples in random order, as `DataLoader(shuffle=True)` does."""
    sampler = getattr(loader, "sampler", None)
    inner = getattr(getattr(loader, "batch_sampler", None), "sampler", None)
    return isinstance(sampler, RandomSampler) or isinstance(inner, RandomSampler)


def length_of(loader: Any) -> float:
    """Number of batches, `math.inf` when the loader does not know."""
    try:
        return len(loader)
    except (TypeError, NotImplementedError):
        return math.inf


def number_of_batches(length: float, limit: Limit, kind: str) -> float:
    """How many batches `limit` allows of `length`.

    Raises:
        MisconfigurationException: a fraction of an unknown length, or of so few batches that none is left.
    """
    if length == 0:
        warn(f"The {kind} loader has no batches.")
    if limit == 0 or length == 0:
        return 0
    if isinstance(limit, int):
        return min(length, limit)
    if limit == 1.0:
        return length
    if length == math.inf:
        raise MisconfigurationException(
            f"Trainer(limit_{kind}_batches={limit}) is a fraction, but the {kind} loader has no length; pass a number of batches."
        )
    batches = int(length * limit)
    if batches == 0:
        raise MisconfigurationException(
            f"Trainer(limit_{kind}_batches={limit}) of {int(length)} batches leaves none; pass at least {1 / length:.3g}."
        )
    return batches


class Transfer:
    """What happens to a batch before the step, decided once: cast, hooks, move, hooks. `steps` is empty on a plain CPU run."""

    def __init__(
        self, module: Any, datamodule: Any, strategy: Strategy, overridden: Callable[[str, Any], bool]
    ) -> None:
        def owner(name: str) -> Any:
            return datamodule if datamodule is not None and overridden(name, datamodule) else module

        self.steps: list[Callable[[Any, int], Any]] = []
        device = strategy.root_device
        if strategy.precision.converts_input:
            self.steps.append(lambda batch, idx: strategy.precision.convert_input(batch))
        for name in ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer"):
            hook = getattr(owner(name), name)
            if name == "transfer_batch_to_device":
                if strategy.moves_batches or overridden(name, owner(name)):
                    self.steps.append(lambda batch, idx, hook=hook: hook(batch, device, idx))  # type: ignore[misc]
            elif overridden(name, owner(name)):
                self.steps.append(hook)

    def __call__(self, batch: Any, dataloader_idx: int = 0) -> Any:
        for step in self.steps:
            batch = step(batch, dataloader_idx)
        return batch


def describe(source: Any) -> str:
    """A loader in a few words, for error messages."""
    return (
        f"{type(source).__name__} of {len(source)}"
        if isinstance(source, (Mapping, list, Tensor))
        else type(source).__name__
    )
