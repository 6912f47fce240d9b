"""Loaders: where they come from, how many batches are taken, samplers."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, RandomSampler, SequentialSampler

from litify.combined_loader import CombinedLoader, is_loader, leaves
from litify.errors import MisconfigurationException
from litify.hooks import Hook, Hooks, is_overridden, replaced
from litify.rank_zero import PossibleUserWarning, warn
from litify.seed import WORKERS_VARIABLE
from litify.strategies.base import Strategy
from litify.strategies.sampling import seed_workers, with_sampler

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

    def states(self) -> list[Any]:
        """Where the loaders stand that know it themselves, such as a StatefulDataLoader of torchdata."""
        return [loader.state_dict() for loader in self.flat if _is_stateful(loader)]

    def load_states(self, states: list[Any], within_epoch: bool) -> bool:
        """Let loaders that keep their place go on from it.

        Args:
            within_epoch: batches of the others would be passed over, and theirs with them: then it is all loaders or none.

        Returns:
            Whether all loaders stand where they stood.
        """
        stateful = [loader for loader in self.flat if _is_stateful(loader)]
        whole = len(stateful) == len(self.flat)
        if not states or len(states) != len(stateful) or (within_epoch and not whole):
            return False
        for loader, state in zip(stateful, states, strict=True):
            loader.load_state_dict(state)
        return whole

    def release(self) -> None:
        """Let the worker processes end that persistent workers keep between epochs."""
        for loader in self.flat:
            if getattr(loader, "_iterator", None) is not None:
                loader._iterator = None

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
    _warn_of_workers(loader, kind, strategy)
    if os.environ.get(WORKERS_VARIABLE) == "1":  # seed_everything(workers=True)
        loader = seed_workers(loader)
    if overfit and kind in ("train", "val") and not in_order(loader):
        warn(f"overfit_batches: the order of the {kind} loader is fixed now, so that batches stay the same.")
        loader = with_sampler(loader, SequentialSampler(loader.dataset))
    elif kind != "train" and shuffle:
        warn(f"The {kind} loader shuffles; evaluation is easier to compare without.", PossibleUserWarning)
    return strategy.process_loader(
        loader,
        training=kind == "train",
        shuffle=shuffle and kind == "train" and not overfit,
        replace_sampler=replace_sampler,
    )


def _warn_of_workers(loader: Any, kind: str, strategy: Strategy) -> None:
    if has_iterable_dataset(loader) and hasattr(loader.dataset, "__len__"):
        warn(
            f"The {kind} data set is iterable and has a length: make sure that it is that of all its worker processes together.",
            PossibleUserWarning,
        )
    workers, persistent = getattr(loader, "num_workers", 0), getattr(loader, "persistent_workers", True)
    if strategy.start_method == "spawn" and workers > 0 and not persistent:
        warn(
            f"The {kind} loader starts {workers} processes anew for each epoch, slowly in processes that were spawned: pass "
            "DataLoader(persistent_workers=True).",
            PossibleUserWarning,
        )


def _is_stateful(loader: Any) -> bool:
    return callable(getattr(loader, "state_dict", None)) and callable(
        getattr(loader, "load_state_dict", None)
    )


def in_order(loader: Any) -> bool:
    """Whether a loader is known to go through its samples in order, or has no samplers."""
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return True
    return isinstance(getattr(loader.batch_sampler, "sampler", loader.sampler), SequentialSampler)


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


def has_len_all_ranks(dataloader: Any, strategy: Strategy, allow_zero_length: bool = False) -> bool:
    """Whether a loader knows its length, on every rank. A warning where it is 0."""
    if length_of(dataloader) == 0:
        warn("The loader has no batches.")
    return strategy.reduce_boolean_decision(length_of(dataloader) != math.inf)


def has_iterable_dataset(dataloader: Any) -> bool:
    """Whether a loader draws from an IterableDataset, which has no indices."""
    return isinstance(getattr(dataloader, "dataset", None), IterableDataset)


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

    def __init__(self, module: Any, datamodule: Any, strategy: Strategy) -> None:
        def owner(name: str) -> Any:
            return datamodule if datamodule is not None and is_overridden(name, datamodule) else module

        self.steps: list[Callable[[Any, int], Any]] = []
        device = strategy.root_device
        if strategy.precision.converts_input:
            self.steps.append(lambda batch, idx: strategy.precision.convert_input(batch))
        for name in ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer"):
            hook = getattr(owner(name), name)
            if name == "transfer_batch_to_device":
                if strategy.moves_batches or replaced(name, owner(name)):
                    self.steps.append(lambda batch, idx, hook=hook: hook(batch, device, idx))  # type: ignore[misc]
            elif replaced(name, owner(name)):
                self.steps.append(hook)

    @classmethod
    def nothing(cls) -> Transfer:
        """Leaves batches alone."""
        made = object.__new__(cls)
        made.steps = []
        return made

    def __call__(self, batch: Any, dataloader_idx: int = 0) -> Any:
        for step in self.steps:
            batch = step(batch, dataloader_idx)
        return batch


class OnDemand(Iterator[Any]):
    """The batches of a loop whose step fetches them itself: `training_step(self, dataloader_iter)`.

    `next` gives (batch, batch index, loader index), the batch on its device; `latest` holds what it gave last.

    Args:
        batches: yields those triples.
        transfer: what happens to a batch before the step.
    """

    def __init__(self, batches: Iterator[tuple[Any, int, int | None]], transfer: Transfer) -> None:
        self._batches, self._transfer = batches, transfer
        self._ahead = next(batches, None)
        self.latest: tuple[Any, int, int | None] = (None, 0, None if self._ahead is None else self._ahead[2])

    @property
    def is_over(self) -> bool:
        """Whether the last batch was fetched."""
        return self._ahead is None

    def turns(self) -> Iterator[OnDemand]:
        """Itself, as long as there are batches: what the loop iterates in place of them."""
        while self._ahead is not None:
            yield self

    def __next__(self) -> tuple[Any, int, int]:
        if self._ahead is None:
            raise StopIteration
        (batch, batch_idx, loader_idx), self._ahead = self._ahead, next(self._batches, None)
        batch = self._transfer(batch, loader_idx or 0)
        self.latest = batch, batch_idx, loader_idx
        return batch, batch_idx, loader_idx or 0


def of_fetched(hooks: Hooks) -> Hooks:
    """Batch hooks for a step that fetches batches itself: they get what it fetched last, before the first one None."""

    def with_latest(hook: Hook) -> Hook:
        def call(*args: Any) -> Any:
            *outputs, on_demand, _ = args
            batch, batch_idx, loader_idx = on_demand.latest
            return hook(*outputs, batch, batch_idx, *(() if loader_idx is None else (loader_idx,)))

        return call

    return tuple(map(with_latest, hooks))


def describe(source: Any) -> str:
    """A loader in a few words, for error messages."""
    return (
        f"{type(source).__name__} of {len(source)}"
        if isinstance(source, (Mapping, list, Tensor))
        else type(source).__name__
    )
