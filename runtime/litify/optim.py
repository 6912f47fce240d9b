"""The many return shapes of `configure_optimizers` become one; when schedulers step; optimizers under manual optimization."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, ReduceLROnPlateau

from litify.errors import MisconfigurationException
from litify.hooks import is_overridden
from litify.rank_zero import warn

if TYPE_CHECKING:
    from litify.module import LightningModule


@dataclass
class LRSchedulerConfig:
    """A scheduler and when it steps."""

    scheduler: Any
    name: str | None = None
    interval: str = "epoch"
    """"epoch" or "step" (optimizer steps)."""
    frequency: int = 1
    """Steps every so many intervals."""
    reduce_on_plateau: bool = False
    """Whether `scheduler.step` gets the monitored metric."""
    monitor: str | None = None
    strict: bool = True
    """Whether a missing monitored metric is an error or a warning."""


KEYS = tuple(LRSchedulerConfig.__dataclass_fields__)


class NoOptimizer(Optimizer):
    """Stands in where `configure_optimizers` returns None: runs the closure and changes nothing."""

    def __init__(self) -> None:
        super().__init__([torch.zeros(1)], {})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        self.param_groups = []

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        pass

    def zero_grad(self, set_to_none: bool = True) -> None:
        pass

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        return closure() if closure is not None else None


def configure(module: LightningModule, answer: Any) -> tuple[list[Optimizer], list[LRSchedulerConfig]]:
    """Sort what `configure_optimizers` returned into optimizers and scheduler configurations.

    Raises:
        MisconfigurationException: it returned something else, or schedulers that do not fit.
        RuntimeError: several optimizers under automatic optimization.
    """
    if answer is None:
        warn(
            "configure_optimizers returned None: fit runs without an optimizer, and weights stay as they are."
        )
        return [NoOptimizer()], []
    optimizers, schedulers, monitor = _sort(answer)
    if module.automatic_optimization and len(optimizers) > 1:
        raise RuntimeError(
            f"configure_optimizers returned {len(optimizers)} optimizers, but automatic optimization steps one. Set "
            "self.automatic_optimization = False in __init__ and step them in training_step: a, b = self.optimizers()."
        )
    configs = [_config(scheduler, monitor, module) for scheduler in schedulers]
    for config in configs:
        _check(config, optimizers, module)
    return optimizers, configs


def _optimizer(thing: Any) -> bool:
    return isinstance(thing, Optimizer) or all(
        hasattr(thing, name)
        for name in ("param_groups", "state_dict", "load_state_dict", "step", "zero_grad")
    )


def _sort(answer: Any) -> tuple[list[Any], list[Any], str | None]:
    match answer:
        case _ if _optimizer(answer):
            return [answer], [], None
        case {"optimizer": optimizer}:
            _no_extra(answer)
            scheduler = [answer["lr_scheduler"]] if "lr_scheduler" in answer else []
            return [optimizer], scheduler, answer.get("monitor")
        case [list() as optimizers, schedulers] if all(map(_optimizer, optimizers)):
            return optimizers, schedulers if isinstance(schedulers, list) else [schedulers], None
        case [*items] if items and all(isinstance(item, Mapping) and "optimizer" in item for item in items):
            return (
                [item["optimizer"] for item in items],
                [_own(item) for item in items if "lr_scheduler" in item],
                None,
            )
        case [*items] if all(map(_optimizer, items)):
            return items, [], None
    raise MisconfigurationException(
        f"configure_optimizers returned {type(answer).__name__}; return an optimizer, a list of them, ([optimizers], "
        '[schedulers]), or {"optimizer": ..., "lr_scheduler": ...}.'
    )


def _own(item: Mapping[str, Any]) -> Any:
    """A scheduler from one of several dictionaries, with the monitor that stands beside it."""
    _no_extra(item)
    scheduler = item["lr_scheduler"]
    config = dict(scheduler) if isinstance(scheduler, Mapping) else {"scheduler": scheduler}
    if "monitor" in item:
        config.setdefault("monitor", item["monitor"])
    return config


def _no_extra(found: Mapping[str, Any]) -> None:
    extra = sorted(found.keys() - {"optimizer", "lr_scheduler", "monitor"})
    if extra:
        warn(
            f"configure_optimizers: keys {extra} have no meaning beside 'optimizer' and are ignored.",
            RuntimeWarning,
        )


def _config(scheduler: Any, monitor: str | None, module: LightningModule) -> LRSchedulerConfig:
    if not isinstance(scheduler, Mapping):
        plateau = isinstance(scheduler, ReduceLROnPlateau) and module.automatic_optimization
        config = LRSchedulerConfig(scheduler, reduce_on_plateau=plateau, monitor=monitor)
    else:
        if "scheduler" not in scheduler:
            raise MisconfigurationException(
                'The lr_scheduler dictionary has no "scheduler" key; put the scheduler there.'
            )
        extra = sorted(scheduler.keys() - set(KEYS))
        if extra:
            warn(
                f"The lr_scheduler dictionary has unknown keys {extra}; known are {list(KEYS)}.",
                RuntimeWarning,
            )
        config = LRSchedulerConfig(**{key: value for key, value in scheduler.items() if key in KEYS})
        config.monitor = config.monitor or monitor
        if "reduce_on_plateau" not in scheduler and module.automatic_optimization:
            config.reduce_on_plateau = isinstance(config.scheduler, ReduceLROnPlateau)
        ignored = sorted(scheduler.keys() & {"reduce_on_plateau", "monitor", "strict"})
        if ignored and not module.automatic_optimization:
            warn(
                f"Under manual optimization the lr_scheduler keys {ignored} have no effect; call scheduler.step yourself.",
                RuntimeWarning,
            )
    return config


def _check(config: LRSchedulerConfig, optimizers: list[Any], module: LightningModule) -> None:
    name = type(config.scheduler).__name__
    if config.interval not in ("step", "epoch"):
        raise MisconfigurationException(
            f'lr_scheduler: "interval" is "step" or "epoch", not {config.interval!r}.'
        )
    if config.reduce_on_plateau and config.monitor is None:
        raise MisconfigurationException(
            f'{name} needs a metric to watch: return {{"optimizer": ..., "lr_scheduler": {{"scheduler": ..., "monitor": "val_loss"}}}}.'
        )
    if getattr(config.scheduler, "optimizer", optimizers[0]) not in optimizers:
        raise MisconfigurationException(
            f"{name} belongs to an optimizer that configure_optimizers did not return; return that optimizer too."
        )
    if not hasattr(config.scheduler, "state_dict") or not hasattr(config.scheduler, "load_state_dict"):
        raise TypeError(
            f"The scheduler {name} has no state_dict and load_state_dict, so it cannot be saved; add them."
        )
    known = isinstance(config.scheduler, (LRScheduler, ReduceLROnPlateau))
    if not known and module.automatic_optimization and not is_overridden("lr_scheduler_step", module):
        raise MisconfigurationException(
            f"{name} is no torch LRScheduler: override lr_scheduler_step(self, scheduler, metric) to say how it steps."
        )
    if (
        isinstance(config.scheduler, OneCycleLR)
        and config.interval == "epoch"
        and module.automatic_optimization
    ):
        warn(
            'OneCycleLR with "interval": "epoch" steps once per epoch; "interval": "step" is usual.',
            RuntimeWarning,
        )


def step_schedulers(
    configs: list[LRSchedulerConfig],
    interval: str,
    index: int,
    plateau: bool,
    metrics: Callable[[], Mapping[str, Any]],
    step: Callable[[Any, Any], None],
) -> None:
    """Step the schedulers that are due.

    Args:
        interval: "step" or "epoch".
        index: batch index or epoch, from 0.
        plateau: whether those that watch a metric are meant, or the others.
        metrics: gives the metrics to watch; called only when one is needed.
        step: `LightningModule.lr_scheduler_step`.

    Raises:
        MisconfigurationException: the watched metric was not logged and the configuration is strict.
    """
    for config in configs:
        if (
            config.interval != interval
            or config.reduce_on_plateau != plateau
            or (index + 1) % config.frequency
        ):
            continue
        metric = None
        if plateau:
            found = metrics()
            metric = found.get(config.monitor or "")
            if metric is None:
                message = (
                    f"{type(config.scheduler).__name__} watches {config.monitor!r}, which was not logged; logged so far: "
                    f"{sorted(found)}."
                )
                if config.strict:
                    raise MisconfigurationException(message + " Log it with self.log, or change monitor=.")
                warn(message + " The learning rate stays.", RuntimeWarning)
                continue
        step(config.scheduler, metric)


def zero_function(optimizer: Optimizer) -> Callable[..., None]:
    """`optimizer.zero_grad`, or what torch's own comes to: it drops gradients inside a mark for profilers, and the mark costs
    ten times the work (15 us against 1 for four tensors). An optimizer with a `zero_grad` of its own keeps it.
    """
    own = (
        "zero_grad" in vars(optimizer)
        or getattr(type(optimizer), "zero_grad", None) is not Optimizer.zero_grad
    )
    return optimizer.zero_grad if own else partial(_drop_gradients, optimizer)


def _drop_gradients(optimizer: Optimizer, set_to_none: bool = True) -> None:
    if not set_to_none:
        optimizer.zero_grad(set_to_none=False)
        return
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = None


class LightningOptimizer:
    """What `self.optimizers()` gives: the optimizer itself, whose `step` counts, scales and calls hooks.

    An instance is also an instance of the class of the optimizer it wraps. Its attributes are the wrapped one's.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        step: Callable[..., Any] | None = None,
        toggle: Callable[[Any, bool], AbstractContextManager[None]] | None = None,
    ) -> None:
        self.__class__ = type("Lightning" + type(optimizer).__name__, (type(self), type(optimizer)), {})
        self._optimizer = optimizer
        self._step = step or _bare_step
        self._toggle = toggle
        self.zero_grad = zero_function(optimizer)  # straight to the gradients: called for every batch

    @property
    def optimizer(self) -> Optimizer:
        return self._optimizer

    def step(self, closure: Callable[[], Any] | None = None, **kwargs: Any) -> Any:
        """One step, with the closure if there is one, and further arguments of the optimizer's own. Returns what it returns."""
        return self._step(self._optimizer, closure, **kwargs)

    @contextmanager
    def toggle_model(self, sync_grad: bool = True) -> Iterator[None]:
        """Only this optimizer's parameters require gradients inside; with sync_grad=False ranks do not exchange them.

        Raises:
            RuntimeError: no Trainer made this object.
        """
        if self._toggle is None:
            raise RuntimeError("toggle_model needs the optimizer that self.optimizers() gives during fit.")
        with self._toggle(self, sync_grad):
            yield

    def state_dict(self) -> dict[str, Any]:
        return self._optimizer.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        self._optimizer.load_state_dict(dict(state_dict))

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        self._optimizer.add_param_group(param_group)

    def __getattr__(self, name: str) -> Any:
        if "_optimizer" not in vars(self):  # while it is being copied or unpickled
            raise AttributeError(name)
        return getattr(vars(self)["_optimizer"], name)

    def __reduce__(self) -> Any:
        """Alone, without the Trainer that made it: its class is made when an object is."""
        return LightningOptimizer, (self._optimizer,)


def _bare_step(optimizer: Optimizer, closure: Callable[[], Any] | None, **kwargs: Any) -> Any:
    """The step of a LightningOptimizer that no Trainer made."""
    return optimizer.step(closure, **kwargs)
