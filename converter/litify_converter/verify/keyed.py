"""Random numbers that do not depend on the order of unrelated random calls.

Each call is seeded from what it is (function, shapes and numeric arguments) and how often the same call was made
before. Two scripts that make the same calls, each kind in the same relative order, draw the same numbers even
when one builds the model before the data and the other after.

- torch: every operator that torch itself tags as random, seen by a dispatch mode; so dropout inside an LSTM counts too.
- numpy.random and random: their module-level functions. Generators that a script makes and seeds itself are left alone.
- Shuffling: keyed by the size of what is shuffled; a loader worker: by its loader and its number.
- Saving and restoring torch's random state (a Trainer around its sanity check, activation checkpointing, fork_rng)
  saves and restores the counts too.
- Seeds that the script sets have no effect.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import random
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, RandomSampler, get_worker_info
from torch.utils.data import dataloader as loading

_KEPT_STATES = (
    4096  # saved random states that can be restored; activation checkpointing makes one per segment
)


def install() -> None:
    """Key every random call of this process from now on."""
    keys = Keys()
    _key_torch(keys)
    _key_saved_states(keys)
    _key_loaders(keys)
    _key_python(keys)
    _key_numpy(keys)


class Keys:
    """Counts how often each random call was made, and makes seeds of it."""

    def __init__(self) -> None:
        self.counts: dict[tuple[object, ...], int] = {}
        self.scope: tuple[object, ...] = ()
        self.saved: OrderedDict[int, dict[tuple[object, ...], int]] = OrderedDict()
        self.saves = 0

    def seed(self, *call: object) -> int:
        """A seed below 2**32 for the next use of this call."""
        worker = get_worker_info()
        key = (*self.scope, worker.seed if worker else None, *call)
        count = self.counts.get(key, 0)
        self.counts[key] = count + 1
        return _number(key, count)

    @contextlib.contextmanager
    def within(self, *scope: object) -> Iterator[None]:
        """Count calls made inside apart from all others."""
        before, self.scope = self.scope, scope
        try:
            yield
        finally:
            self.scope = before

    def save(self) -> int:
        """Remember the counts; the number returned brings them back."""
        self.saves += 1
        token = _number("saved", self.saves)
        self.saved[token] = dict(self.counts)
        if len(self.saved) > _KEPT_STATES:
            self.saved.popitem(last=False)
        return token

    def restore(self, token: int) -> None:
        if token in self.saved:
            self.counts = dict(self.saved[token])


def _number(*values: object) -> int:
    return int.from_bytes(hashlib.blake2b(repr(values).encode(), digest_size=4).digest(), "little")


def _shape_of(value: object) -> object:
    """What of an argument goes into the key: sizes and numbers; never contents, types or devices."""
    match value:
        case None | str():
            return None
        case bool() | int() | float():
            return float(value)
        case list() | tuple():
            return tuple(map(_shape_of, value)) if len(value) <= 16 else ("length", len(value))
    shape = getattr(value, "shape", None)
    if shape is not None:
        return tuple(int(size) for size in shape)
    return ("length", len(value)) if hasattr(value, "__len__") else None


def _shapes(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[object, ...]:
    return (*map(_shape_of, args), *((name, _shape_of(kwargs[name])) for name in sorted(kwargs)))


class _KeyedDispatch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, keys: Keys) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.keys = keys
        self.is_random: dict[object, bool] = {}  # by operator

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        known = self.is_random.get(func)
        if known is None:
            known = self.is_random[func] = torch.Tag.nondeterministic_seeded in func.tags
        if known and not any(map(_is_own_generator, (*args, *kwargs.values()))):
            _reseed_torch(self.keys.seed(str(func), *_shapes(args, kwargs)))
        return func(*args, **kwargs)


def _is_own_generator(value: object) -> bool:
    if not isinstance(value, torch.Generator):
        return False
    # the default one arrives in a new wrapper, so only the address of what it wraps tells
    return getattr(value, "_cdata", 0) != getattr(torch.default_generator, "_cdata", 0)


def _reseed_torch(seed: int) -> None:
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        for generator in torch.cuda.default_generators:
            generator.manual_seed(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


def _key_torch(keys: Keys) -> None:
    _KeyedDispatch(keys).__enter__()  # type: ignore[no-untyped-call]  # for as long as the process lives


def _key_saved_states(keys: Keys) -> None:
    """Every saved state gets a seed of its own, by which it is recognised when it comes back."""
    generator = torch.default_generator
    set_state = torch.set_rng_state

    def keyed_get() -> torch.Tensor:
        generator.manual_seed(keys.save())
        return generator.get_state()

    def keyed_set(new_state: torch.Tensor) -> None:
        set_state(new_state)
        keys.restore(generator.initial_seed())

    torch.get_rng_state = torch.random.get_rng_state = keyed_get
    torch.set_rng_state = torch.random.set_rng_state = keyed_set


def _key_loaders(keys: Keys) -> None:
    """A loader draws a base seed for its workers even when it has none; a sampler draws one per epoch."""
    start = loading._BaseDataLoaderIter.__init__
    shuffled = RandomSampler.__iter__

    @functools.wraps(start)
    def keyed_start(self: Any, loader: DataLoader[Any]) -> None:
        with keys.within("loader", _length(loader.dataset), loader.batch_size):
            start(self, loader)

    def keyed_shuffled(self: RandomSampler) -> Iterator[int]:
        if self.generator is not None and self.generator is not torch.default_generator:
            yield from shuffled(self)
            return
        twin = copy.copy(self)
        twin.generator = torch.Generator()
        twin.generator.manual_seed(keys.seed("shuffle", len(self.data_source)))
        yield from shuffled(twin)

    loading._BaseDataLoaderIter.__init__ = keyed_start  # type: ignore[method-assign]
    RandomSampler.__iter__ = keyed_shuffled  # type: ignore[method-assign]


def _length(dataset: object) -> int | None:
    try:
        return len(dataset)  # type: ignore[arg-type]
    except TypeError:  # an iterable data set
        return None


def _key_python(keys: Keys) -> None:
    instance = random._inst
    for name, function in list(vars(random).items()):
        if getattr(function, "__self__", None) is instance and name not in ("seed", "getstate", "setstate"):
            setattr(random, name, _keyed_call(keys, "random." + name, instance.seed, function))


def _keyed_call(
    keys: Keys, name: str, reseed: Callable[[int], object], function: Callable[..., Any]
) -> Callable[..., Any]:
    @functools.wraps(function)
    def keyed(*args: Any, **kwargs: Any) -> Any:
        reseed(keys.seed(name, *_shapes(args, kwargs)))
        return function(*args, **kwargs)

    return keyed


def _key_numpy(keys: Keys) -> None:
    """Put a keyed state in the place of numpy's global one, where scikit-learn and others look for it too."""
    try:
        import numpy
    except ImportError:  # torch runs without it
        return
    module = numpy.random
    old = module.mtrand._rand
    new = _keyed_state_class(keys)(0)
    for owner in (module, module.mtrand):
        for name, value in list(vars(owner).items()):
            if getattr(value, "__self__", None) is old:
                setattr(owner, name, getattr(new, value.__name__))  # ranf is another name of random_sample
    module.mtrand._rand = new
    default_rng = module.default_rng

    def keyed_default_rng(seed: Any = None) -> numpy.random.Generator:
        return default_rng(keys.seed("numpy.default_rng") if seed is None else seed)

    module.default_rng = keyed_default_rng


def _keyed_state_class(keys: Keys) -> Any:
    """A RandomState whose public methods reseed it first; one called by another of them does not."""
    import numpy

    base: Any = numpy.random.RandomState
    unkeyed = ("seed", "get_state", "set_state")

    def keyed_method(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def keyed(self: Any, *args: Any, **kwargs: Any) -> Any:
            if self.busy:
                return method(self, *args, **kwargs)
            base.seed(self, keys.seed("numpy." + name, *_shapes(args, kwargs)))
            self.busy = True
            try:
                return method(self, *args, **kwargs)
            finally:
                self.busy = False

        return keyed

    methods = {
        name: keyed_method(name, method)
        for name, method in vars(base).items()
        if callable(method) and not name.startswith("_") and name not in unkeyed
    }
    return type("KeyedRandomState", (base,), {"busy": False, **methods})
