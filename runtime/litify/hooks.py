"""Which hooks are overridden, found once at the start of fit; a batch then runs tuples of bound methods."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from litify.callbacks.base import Callback
    from litify.metrics import Results
    from litify.trainer import Trainer

Hook = Callable[..., Any]
Hooks = tuple[Hook, ...]


def is_overridden(name: str, instance: object, parent: type | None = None) -> bool:
    """Whether `instance` has a method `name` of its own: in its class, a class between, or set on the instance.

    Raises:
        ValueError: `parent` is not given, and `instance` is no module, data module or callback.
    """
    if instance is None:
        return False
    ours = getattr(parent or _parent_of(instance), name, None)
    method = getattr(instance, name, None)
    if method is None or ours is None:
        return False
    return _function(method) is not _function(ours)


def replaced(name: str, instance: object) -> bool:
    """Whether a hook has to be called: as `is_overridden`, but wrapping or mocking the default one counts, too."""
    method = getattr(instance, name, None)
    ours = getattr(_parent_of(instance), name, None)
    return method is not None and getattr(method, "__func__", method) is not ours


def _function(method: Any) -> Any:
    """The function behind bound methods, partials and wrappers such as those of decorators that only record calls."""
    while True:
        inner = getattr(method, "__wrapped__", None) or getattr(method, "__func__", None)
        if inner is None and isinstance(method, partial):
            inner = method.func
        if inner is None:
            return method
        method = inner


def _parent_of(instance: object) -> type:
    from litify.callbacks.base import Callback
    from litify.datamodule import LightningDataModule
    from litify.module import LightningModule

    for parent in (LightningModule, LightningDataModule, Callback):
        if isinstance(instance, parent):
            return parent
    raise ValueError(f"{type(instance).__name__} is no module, data module or callback; pass parent=.")


def takes(function: Hook, name: str, at_least: int) -> bool:
    """Whether a step method wants an optional argument: it is named so, or there are enough positional ones."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return True
    if any(p.kind is p.VAR_POSITIONAL or p.name == name for p in parameters):
        return True
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len(positional) >= at_least


def fetches(step: Hook) -> bool:
    """Whether a step wants the iterator over batches, and not a batch."""
    try:
        return "dataloader_iter" in inspect.signature(step).parameters
    except (TypeError, ValueError):
        return False


def requires(function: Hook, name: str) -> bool:
    """Whether a method has an argument of this name without a default."""
    try:
        parameter = inspect.signature(function).parameters.get(name)
    except (TypeError, ValueError):
        return False
    return parameter is not None and parameter.default is parameter.empty


class HookTable:
    """The overridden hooks of one fit: those of callbacks in their order, then that of the module.

    Args:
        trainer: what callbacks get as first argument.
        results: returns the running log results, which must know in which hook a `self.log` happens.
    """

    def __init__(self, trainer: Trainer, callbacks: Sequence[Callback], module: Any) -> None:
        self._trainer = trainer
        self._callbacks = callbacks
        self._module = module
        self._found: dict[str, Hooks] = {}

    def of_callbacks(self, name: str, monitoring: bool | None = None) -> Hooks:
        """The callbacks' overrides of hook `name`, trainer and module already bound.

        Args:
            monitoring: True for those that monitor a metric (EarlyStopping, ModelCheckpoint), False for the others.
        """
        profiler = self._trainer.profiler
        record = profiler.wrap
        return tuple(
            record(
                partial(getattr(callback, name), self._trainer, self._module),
                f"[Callback]{callback.state_key}.{name}",
            )
            for callback in self._callbacks
            if (profiler.active or replaced(name, callback))  # a report lists those that do nothing, too
            and callback._uses(name)
            and (monitoring is None or callback.monitors == monitoring)
        )

    def of_module(self, name: str) -> Hook | None:
        """The module's own override of hook `name`."""
        if not replaced(name, self._module):
            return None
        action = f"[LightningModule]{type(self._module).__name__}.{name}"
        return self._trainer.profiler.wrap(getattr(self._module, name), action)

    def all(self, name: str) -> Hooks:
        """Callbacks first, then the module."""
        own = self.of_module(name)
        return self.of_callbacks(name) + ((own,) if own is not None else ())

    def call(self, name: str, **arguments: Any) -> None:
        """Run a hook that is not called per batch; it is found at its first call."""
        hooks = self._found.get(name)
        if hooks is None:
            hooks = self._found[name] = self.all(name)
        if arguments:
            hooks = tuple(partial(hook, **arguments) for hook in hooks)
        run(hooks, name, self._trainer.results)

    def call_owned(self, owner: Any, name: str, *args: Any) -> Any:
        """Run a method of the module or the data module; returns what it returned."""
        method = getattr(owner, name)
        return None if method is None else run((method,), name, self._trainer.results, *args)


def run(hooks: Hooks, name: str, results: Results | None, *args: Any) -> Any:
    """Run hooks with `self.log` knowing where it is called; returns what the last one returned."""
    if results is None:
        return [hook(*args) for hook in hooks][-1] if hooks else None
    outer, results.hook = results.hook, name
    answer = None
    try:
        for hook in hooks:
            answer = hook(*args)
    finally:
        results.hook = outer
    return answer
