"""`self.log`: running values that stay on the device, reduced at the end of an epoch.

A logged name is a Slot, found by one dictionary look-up (hook, name and flags) and updated in place. Nothing here waits for
the device: numbers are read from it only where somebody reads them (`Results.collect` and the logger).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from litify.errors import MisconfigurationException

Metrics = dict[str, Any]
Reduce = Callable[..., Tensor]

# Hooks in which self.log makes no sense: no batch and no epoch is there to log for.
NO_LOG = frozenset(
    [
        "on_fit_start",
        "on_fit_end",
        "on_train_end",
        "on_validation_end",
        "on_test_end",
        "on_predict_start",
        "on_predict_end",
        "on_predict_epoch_start",
        "on_predict_epoch_end",
        "on_predict_batch_start",
        "on_predict_batch_end",
        "predict_step",
        "on_sanity_check_start",
        "on_sanity_check_end",
        "on_before_batch_transfer",
        "transfer_batch_to_device",
        "on_after_batch_transfer",
        "on_exception",
        "state_dict",
        "load_state_dict",
        "on_save_checkpoint",
        "on_load_checkpoint",
        "setup",
        "teardown",
        "configure_model",
        "configure_optimizers",
        "train_dataloader",
        "val_dataloader",
        "test_dataloader",
        "prepare_data",
        "configure_callbacks",
        "lr_scheduler_step",
        "on_validation_model_zero_grad",
        "on_validation_model_eval",
        "on_test_model_eval",
        "on_validation_model_train",
        "on_test_model_train",
    ]
)
# Hooks of whole epochs: there is no step to log at.
EPOCH_ONLY = frozenset(
    [
        "on_train_start",
        "on_validation_start",
        "on_test_start",
        "on_train_epoch_start",
        "on_train_epoch_end",
        "on_validation_epoch_start",
        "on_validation_epoch_end",
        "on_test_epoch_start",
        "on_test_epoch_end",
    ]
)
# Batch hooks of evaluation: values are for the epoch unless asked otherwise.
EVALUATION = frozenset(
    [
        "validation_step",
        "test_step",
        "on_validation_batch_start",
        "on_validation_batch_end",
        "on_test_batch_start",
        "on_test_batch_end",
    ]
)
REDUCTIONS = ("mean", "sum", "min", "max")


class Slot:
    """One logged name: its latest value, and what its epoch value is made from."""

    __slots__ = (
        "add_idx", "batch_size", "buffer", "computed", "enable_graph", "hook", "idx", "last", "live", "logger", "metric", "name",
        "on_epoch", "on_step", "prog_bar", "reduce", "sync", "total", "weight",
    )  # fmt: skip

    def __init__(self, hook: str, name: str, flags: tuple[Any, ...], idx: int | None) -> None:
        self.hook, self.name, self.idx = hook, name, idx
        (self.prog_bar, self.logger, self.on_step, self.on_epoch, self.reduce, self.enable_graph, self.sync, self.add_idx,
         self.metric) = flags  # fmt: skip
        # Where a step's value is copied to, as the script may go on changing its tensor in place. Kept from step to step:
        # a new tensor would cost more than all else that logging does.
        self.buffer: Tensor | None = None
        self.reset()

    def reset(self) -> None:
        self.live = False
        self.last: Any = None
        self.total: Any = None
        self.weight: float = 0
        self.computed: Any = None

    def step_name(self) -> str:
        return self.name + "_step" if self.on_epoch else self.name

    def epoch_name(self) -> str:
        return self.name + "_epoch" if self.on_step else self.name

    def add(self, value: Any, weight: float) -> None:
        """Take a value into the epoch's reduction."""
        self.computed = None
        if self.metric:
            self.total = value
        elif self.total is None:
            self.total = value * weight if weight != 1 and self.reduce == "mean" else value
        elif self.reduce == "mean":
            self.total = self.total + (value * weight if weight != 1 else value)
        elif self.reduce == "sum":
            self.total = self.total + value
        elif isinstance(value, Tensor) or isinstance(self.total, Tensor):
            pick = torch.minimum if self.reduce == "min" else torch.maximum
            self.total = pick(torch.as_tensor(self.total), torch.as_tensor(value))
        else:
            self.total = (min if self.reduce == "min" else max)(self.total, value)
        self.weight += weight

    def epoch_value(self) -> Any:
        """The reduction over the epoch so far, over all ranks with sync_dist (then every rank must call this)."""
        if self.computed is not None or self.total is None:
            return self.computed
        if self.metric:
            self.computed = _computed(self.name, self.total)
        elif self.sync is None:
            self.computed = self.total / self.weight if self.reduce == "mean" else self.total
        elif self.reduce == "mean":
            both = torch.stack([_tensor(self.total).double(), torch.tensor(float(self.weight))])
            both = self.sync(both, "sum")
            self.computed = (both[0] / both[1]).float()
        else:
            self.computed = self.sync(_tensor(self.total).clone(), self.reduce)
        return self.computed


class Results:
    """Everything logged in one running loop (training, or one evaluation).

    Attributes:
        slots: what was logged, by hook, name and arguments.
        hook: the hook that is running now, set by the loops; None outside of any.
        in_batch: whether a batch is being worked on: then step values are read, else epoch values.
        logs_steps: whether any name is logged by step.
        idx: index of the running loader when there are several, else None.
    """

    def __init__(self, training: bool, sync: Reduce | None = None) -> None:
        self.training = training
        self.sync = sync
        self.hook: str | None = None
        self.in_batch = False
        self.logs_steps = False
        self.batch: Any = None
        self.idx: int | None = None
        self.slots: dict[tuple[Any, ...], Slot] = {}
        self._by_name: dict[tuple[str, str, int | None], Slot] = {}
        self._sized: Any = None  # the batch that _batch_size is of
        self._batch_size = 1

    def start_batch(self, batch: Any, idx: int | None = None) -> None:
        self.in_batch = True
        self.batch = batch
        self.idx = idx

    def update(self, slot: Slot, value: Any, batch_size: float | None) -> None:
        """A value for a slot. Nothing here waits for the device."""
        slot.live = True
        if value.__class__ is Tensor:
            if slot.buffer is not None:
                slot.last = slot.buffer.copy_(value.data)
            elif slot.on_step:
                self._set_last(slot, _floating(value if slot.enable_graph else value.detach()))
            if not slot.on_epoch:
                return
            value = _floating(value if slot.enable_graph else value.detach())
        else:
            value = value if slot.metric else _value(slot.name, value)
            if slot.on_step:
                self._set_last(slot, value)
        if slot.on_epoch:
            slot.add(value, self._weight(slot, batch_size))

    def _set_last(self, slot: Slot, value: Any) -> None:
        if slot.metric:
            slot.last, slot.total = value._forward_cache, value  # to be reset at the end of the epoch
        elif slot.sync is not None:
            slot.last = slot.sync(_tensor(value).clone(), slot.reduce)
        elif isinstance(value, Tensor):
            slot.last = value.clone()
            if not slot.enable_graph:
                with torch.inference_mode(False):
                    slot.buffer = torch.empty_like(value)
        else:
            slot.last = value

    def _weight(self, slot: Slot, batch_size: float | None) -> float:
        if batch_size is not None:
            return batch_size
        if slot.reduce != "mean" or slot.metric or self.batch is None:
            return 1
        if self._sized is not self.batch:
            self._sized, self._batch_size = self.batch, batch_size_of(self.batch)
        return self._batch_size

    def register(self, key: tuple[Any, ...], value: Any, group: Any) -> Slot:
        """A slot for a name logged for the first time, its arguments checked.

        Args:
            key: hook, name and flags, in the order of `LightningModule.log`.
        """
        (
            hook,
            name,
            idx,
            prog_bar,
            logger,
            on_step,
            on_epoch,
            reduce_fx,
            enable_graph,
            sync_dist,
            add_idx,
            rank_zero,
        ) = key
        on_step, on_epoch = levels(hook, on_step, on_epoch)
        if add_idx and "/dataloader_idx_" in name:
            raise MisconfigurationException(
                f"self.log({name!r}): the suffix /dataloader_idx_N is added by the Trainer; take it out of the name, or pass "
                "add_dataloader_idx=False."
            )
        sync = None
        if sync_dist and not rank_zero and self.sync is not None:
            reduce, sync = self.sync, lambda tensor, op: reduce(tensor, op, group)
        metric = hasattr(value, "compute") and hasattr(value, "reset") and hasattr(value, "update")
        flags = (
            prog_bar,
            logger is not False,
            on_step,
            on_epoch,
            reduction(reduce_fx),
            enable_graph,
            sync,
            add_idx,
            metric,
        )
        slot = Slot(hook, name, flags, idx)
        self.logs_steps = self.logs_steps or on_step
        if isinstance(value, Tensor) and value.numel() != 1:
            raise ValueError(
                f"self.log({name!r}, ...) got a tensor of {value.numel()} elements; log one number, for example its .mean()."
            )
        known = self._by_name.setdefault((hook, name, idx), slot)
        if known is not slot:
            if self._by_name[hook, name, idx].live or known.metric:
                raise MisconfigurationException(
                    f"self.log({name!r}) is called twice in {hook} with different arguments; a name has one meaning per hook."
                )
            self._by_name[hook, name, idx] = slot
        self.slots[key] = slot
        return slot

    def _current(self) -> Iterator[Slot]:
        return (slot for slot in self._by_name.values() if slot.live and slot.idx == self.idx)

    def collect(self) -> tuple[Metrics, Metrics, Metrics]:
        """What callbacks, logger and progress bar see now: step values within a batch, epoch values otherwise.

        Values are tensors or numbers, still on the device.
        """
        callback: Metrics = {}
        logged: Metrics = {}
        bar: Metrics = {}
        for slot in self._current():
            if self.in_batch:
                value = slot.last if slot.on_step else None
                forked = slot.step_name()
            else:
                value = slot.epoch_value() if slot.on_epoch else None
                forked = slot.epoch_name()
            if value is None:
                continue
            if isinstance(value, Tensor) and value is slot.buffer:
                value = value.clone()
            suffix = f"/dataloader_idx_{slot.idx}" if slot.add_idx and slot.idx is not None else ""
            forked += suffix
            if slot.logger:
                logged[forked] = value
            if self.training or not self.in_batch:
                callback[slot.name + suffix] = value
                callback[forked] = value
            if slot.prog_bar:
                bar[forked] = value
        return callback, logged, bar

    def end_batches(self) -> None:
        """The batches of a loader are over; from here on epoch values are read. All ranks reduce together."""
        self.in_batch = False
        self.batch = self._sized = None
        for slot in self._current():
            if slot.sync is not None and slot.on_epoch:
                slot.epoch_value()

    def reset(self) -> None:
        """Forget values, keep what the names mean."""
        self.in_batch = False
        self.idx = None
        self.batch = self._sized = None
        for slot in self.slots.values():
            if slot.metric and slot.total is not None:
                slot.total.reset()
            slot.reset()


def levels(hook: str | None, on_step: bool | None, on_epoch: bool | None) -> tuple[bool, bool]:
    """Whether to keep the step's value and the epoch's, by hook where the user did not say.

    Raises:
        MisconfigurationException: this hook cannot log, or not so.
    """
    if hook is None or hook in NO_LOG:
        where = f"inside {hook}" if hook else "outside of the Trainer's hooks"
        raise MisconfigurationException(
            f"self.log cannot be called {where}: there is no step or epoch to log for. Write to self.logger directly instead."
        )
    if hook in EPOCH_ONLY and (on_step or on_epoch is False):
        raise MisconfigurationException(
            f"self.log(on_step={on_step}, on_epoch={on_epoch}) inside {hook}: it runs once per epoch, so leave both out."
        )
    by_epoch = hook in EPOCH_ONLY or hook in EVALUATION
    step = not by_epoch if on_step is None else on_step
    epoch = by_epoch if on_epoch is None else on_epoch
    if not step and not epoch:
        raise MisconfigurationException(
            "self.log(on_step=False, on_epoch=False) logs nothing; set one of them to True or remove the call."
        )
    return step, epoch


def reduction(reduce_fx: Any) -> str:
    """The name of a reduction given as "mean", torch.mean, max ..."""
    name = (
        reduce_fx if isinstance(reduce_fx, str) else getattr(reduce_fx, "__name__", repr(reduce_fx))
    ).lower()
    name = {"avg": "mean", "amin": "min", "amax": "max"}.get(name, name)
    if name not in REDUCTIONS:
        raise MisconfigurationException(
            f"self.log(reduce_fx={reduce_fx!r}): use one of {', '.join(REDUCTIONS)}, or log a torchmetrics.Metric for a "
            "reduction of your own."
        )
    return name


def batch_size_of(batch: Any) -> int:
    """First dimension of the first tensor found in a batch (1 for a 0-dimensional one, or where there is none)."""
    stack = [batch]
    while stack:
        item = stack.pop()
        if isinstance(item, Tensor):
            return item.size(0) if item.ndim else 1
        if isinstance(item, str):
            return len(item)
        if isinstance(item, dict):
            stack.extend(reversed(list(item.values())))
        elif isinstance(item, (list, tuple)):
            stack.extend(reversed(item))
        elif hasattr(item, "num_graphs"):  # a torch_geometric Batch
            return int(item.num_graphs)
    return 1


def scalars(metrics: Metrics) -> dict[str, float]:
    """Read values from the device, all of them at once where they are on one."""
    return {name: value.item() if isinstance(value, Tensor) else value for name, value in metrics.items()}


def tensors(metrics: Metrics) -> dict[str, Any]:
    """Metrics as Lightning's users know them: each a tensor."""
    return {name: _tensor(value) for name, value in metrics.items()}


def _tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else torch.tensor(value, dtype=_dtype())


def _computed(name: str, metric: Any) -> Any:
    """The value of a torchmetrics.Metric.

    Raises:
        ValueError: it is not one number.
    """
    value = metric.compute()
    if isinstance(value, (int, float)) or (isinstance(value, Tensor) and value.numel() == 1):
        return value
    what = f"{value.numel()} elements" if isinstance(value, Tensor) else f"a {type(value).__name__}"
    raise ValueError(
        f"self.log({name!r}, ...): compute() of {type(metric).__name__} returned {what}, not one number; compute it yourself and log "
        "its parts."
    )


def _dtype() -> torch.dtype:
    default = torch.get_default_dtype()
    return default if default in (torch.float32, torch.float64) else torch.float32


def _floating(value: Tensor) -> Tensor:
    return value if value.dtype in (torch.float32, torch.float64) else value.to(_dtype())


def _value(name: str, value: Any) -> Any:
    """A number or one-element tensor, ready to be reduced."""
    if isinstance(value, Tensor):
        return _floating(value.detach())
    if isinstance(value, (bool, int, float)):
        return float(value)
    if hasattr(value, "item") and getattr(value, "size", 0) == 1:  # a number of numpy
        return float(value.item())
    raise ValueError(
        f"self.log({name!r}, ...) got a {type(value).__name__}; log a number, a tensor with one element or a torchmetrics.Metric"
        + (", and dictionaries with self.log_dict." if isinstance(value, dict) else ".")
    )
