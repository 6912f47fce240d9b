"""Several loaders at once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader

MODES = ("min_size", "max_size", "max_size_cycle", "sequential")
Item = tuple[Any, int, int]


class CombinedLoader(Iterable[Item]):
    """Iterates several loaders together; yields (batch, batch index, loader index).

    In all modes but "sequential" a batch has the structure of `iterables` (list, dictionary, nested) with each loader's batch
    in the loader's place, and the loader index is 0.

    Args:
        iterables: loaders in any nesting of lists, tuples and dictionaries.
        mode: "min_size" stops with the shortest; "max_size" with the longest, None where others have ended; "max_size_cycle"
            starts the others anew; "sequential" takes one after another.

    Raises:
        ValueError: an unknown mode.
    """

    def __init__(self, iterables: Any, mode: str = "min_size") -> None:
        if mode not in MODES:
            raise ValueError(f"CombinedLoader(mode={mode!r}): the modes are {', '.join(MODES)}.")
        self.iterables = iterables
        self.mode = mode
        self._flat = leaves(iterables)
        self.limits: list[float] | None = None
        self._iterated = False

    @property
    def flattened(self) -> list[Any]:
        """The loaders, in order. Assigning others of the same number replaces them."""
        return self._flat

    @flattened.setter
    def flattened(self, loaders: list[Any]) -> None:
        if len(loaders) != len(self._flat):
            raise ValueError(f"There are {len(self._flat)} loaders, not {len(loaders)}.")
        self._flat = list(loaders)
        self.iterables = rebuild(self.iterables, iter(loaders))

    def reset(self) -> None:
        """Let the worker processes of persistent workers end."""
        for loader in self._flat:
            if getattr(loader, "_iterator", None) is not None:
                loader._iterator = None

    def _lengths(self) -> list[float]:
        limits = self.limits or [math.inf] * len(self._flat)
        return [min(_length(loader), limit) for loader, limit in zip(self._flat, limits, strict=True)]

    def count(self) -> int | None:
        """Batches of one pass, None when a loader without a length decides."""
        lengths = self._lengths()
        total = {"min_size": min, "sequential": sum}.get(self.mode, max)(lengths) if lengths else 0  # type: ignore[operator]
        return None if total == math.inf else int(total)

    def __len__(self) -> int:
        """Batches of one pass. Lightning's is known once iteration has begun, and a script should run under both.

        Raises:
            RuntimeError: `iter` was not called yet.
            NotImplementedError: a loader that decides has no length.
        """
        if not self._iterated:
            raise RuntimeError("len(CombinedLoader) is known from its first iteration on; call iter() first.")
        count = self.count()
        if count is None:
            raise NotImplementedError("A loader has no length, so neither has their combination.")
        return count

    def __iter__(self) -> Iterator[Item]:
        self._iterated = True
        # Made now, not at the first `next`: each draws from the random state, and the order of draws is part of a result.
        if self.mode == "sequential":
            return self._one_after_another([iter(loader) for loader in self._flat[:1]])
        return self._together([iter(loader) for loader in self._flat])

    def _one_after_another(self, first: list[Iterator[Any]]) -> Iterator[Item]:
        for loader_idx, (loader, length) in enumerate(zip(self._flat, self._lengths(), strict=True)):
            if length:
                for batch_idx, batch in enumerate(loader if loader_idx else first[0]):
                    yield batch, batch_idx, loader_idx
                    if batch_idx + 1 >= length:
                        break

    def _together(self, iterators: list[Iterator[Any]]) -> Iterator[Item]:
        lengths = self._lengths()
        ended = [False] * len(iterators)
        taken = [0] * len(iterators)
        batch_idx = 0
        while True:
            parts = []
            for i in range(len(iterators)):
                part, over = self._take(iterators, i, taken, lengths[i])
                ended[i] = ended[i] or over
                if over and self.mode == "min_size":
                    return
                if all(ended):
                    return
                if over and self.mode == "max_size_cycle":
                    iterators[i], taken[i] = iter(self._flat[i]), 0
                    part, _ = self._take(iterators, i, taken, lengths[i])
                parts.append(part)
            yield rebuild(self.iterables, iter(parts)), batch_idx, 0
            batch_idx += 1

    @staticmethod
    def _take(iterators: list[Iterator[Any]], i: int, taken: list[int], length: float) -> tuple[Any, bool]:
        """The next batch of loader i, and whether it has ended instead."""
        if taken[i] >= length:
            return None, True
        try:
            part = next(iterators[i])
        except StopIteration:
            return None, True
        taken[i] += 1
        return part, False


def is_loader(thing: Any) -> bool:
    """Whether something yields batches itself: a DataLoader, any iterable, or a list of batches (not of loaders)."""
    if isinstance(thing, DataLoader):
        return True
    if isinstance(thing, Mapping):
        return False
    if isinstance(thing, (list, tuple)):
        return not _holds_loaders(thing)
    return _leaf_loader(thing) or (hasattr(thing, "__getitem__") and hasattr(thing, "__len__"))


def _leaf_loader(thing: Any) -> bool:
    """A batch is no loader: tensors, arrays, strings and what can be moved to a device (graphs) are batches."""
    if (
        isinstance(thing, (Tensor, str, bytes, Mapping, list, tuple))
        or hasattr(thing, "to")
        or hasattr(thing, "dtype")
    ):
        return False
    return hasattr(thing, "__iter__")


def _holds_loaders(thing: Any) -> bool:
    """Whether loaders are nested in it; then it is a collection of loaders, else a list of batches."""
    if isinstance(thing, Mapping):
        return any(map(_holds_loaders, thing.values()))
    if isinstance(thing, (list, tuple)):
        return any(map(_holds_loaders, thing)) or (bool(thing) and all(map(_is_plain_list, thing)))
    return _leaf_loader(thing)


def _is_plain_list(thing: Any) -> bool:
    """A list of numbers or texts, as in [[0, 1], [2, 3]]: a small loader. Batches that are lists hold tensors."""
    return (
        isinstance(thing, list) and bool(thing) and all(isinstance(item, (int, float, str)) for item in thing)
    )


def leaves(tree: Any) -> list[Any]:
    """The loaders in nested lists, tuples and dictionaries. A list of batches is a loader."""
    if isinstance(tree, Mapping):
        return [leaf for value in tree.values() for leaf in leaves(value)]
    if isinstance(tree, (list, tuple)) and _holds_loaders(tree):
        return [leaf for value in tree for leaf in leaves(value)]
    return [tree]


def rebuild(tree: Any, values: Iterator[Any]) -> Any:
    """A tree of the same shape whose leaves are taken from `values`."""
    if isinstance(tree, Mapping):
        return {key: rebuild(value, values) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)) and _holds_loaders(tree):
        parts = (rebuild(value, values) for value in tree)
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    return next(values)


def _length(loader: Any) -> float:
    try:
        return len(loader)
    except (TypeError, NotImplementedError):
        return math.inf
