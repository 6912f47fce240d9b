"""training_step(batch, batch_idx, optimizer_idx): several optimizers that step by themselves, one after another.

What 1.x did inside its loop is done here, on top of manual optimization: toggle, step, zero_grad, backward, clipping, optimizer step,
schedulers, accumulation, and the "frequency" of each optimizer.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any

from torch.optim.lr_scheduler import ReduceLROnPlateau

from litify.callbacks.base import Callback
from litify.classic.hints import hint
from litify.classic.outputs import log_result
from litify.optim import step_schedulers
from litify.outputs import loss_of

if TYPE_CHECKING:
    from litify.module import LightningModule
    from litify.trainer import Trainer


def modernize(cls: type[Any], by_index: bool) -> None:
    """Have a class step its optimizers by itself.

    Args:
        by_index: it defines a training_step with optimizer_idx; else it inherits from one that does.
    """
    if by_index:
        hint("training_step(batch, batch_idx, optimizer_idx)", "manual optimization")
        # An assignment of True, meant as in 1.x, changes nothing: the steps below are what is automatic.
        cls.steps_by_index, cls.automatic_optimization = True, property(
            lambda self: False, lambda self, on: None
        )
        cls.training_step = _all_steps(vars(cls)["training_step"])
    if by_index or "configure_optimizers" in vars(cls):
        cls.configure_optimizers = _without_old_keys(cls.configure_optimizers)


def _all_steps(step: Any) -> Any:
    @wraps(step)
    def training_step(self: Any, *args: Any, **kwargs: Any) -> Any:
        if len(args) + len(kwargs) > 2:  # a subclass asks for one of them
            return step(self, *args, **kwargs)
        batch, batch_idx = args
        optimizers = self.optimizers()
        optimizers = optimizers if isinstance(optimizers, list) else [optimizers]
        loss = None
        for index in _due(self, len(optimizers)):
            self.__dict__["_optimizer_idx"] = index
            if len(optimizers) > 1:
                self.toggle_optimizer(optimizers[index])
            loss = _one_step(self, step, optimizers[index], batch, batch_idx, index)
            if len(optimizers) > 1:
                self.untoggle_optimizer(optimizers[index])
        return None if loss is None else {"loss": loss}

    return training_step


def _due(module: Any, number: int) -> list[int]:
    """Which optimizers step with this batch: all, or with frequencies the one whose turn it is."""
    frequencies = module.__dict__.get("_frequencies")
    if not frequencies:
        return list(range(number))
    place = (module.trainer.state.total_batches - 1) % sum(frequencies)
    for index, frequency in enumerate(frequencies):
        if place < frequency:
            return [index]
        place -= frequency
    raise AssertionError("a place lies below the sum of all")


def _one_step(module: Any, step: Any, optimizer: Any, batch: Any, batch_idx: int, index: int) -> Any:
    """Steps of one optimizer with one batch. Returns the loss, detached."""
    trainer = module.trainer
    first = batch_idx - batch_idx % trainer.accumulate_grad_batches
    window = min(trainer.accumulate_grad_batches, trainer.num_training_batches - first)
    losses: list[Any] = []

    def closure() -> Any:
        output = step(module, batch, batch_idx, index)
        log_result(module, output)
        loss = loss_of(output)
        if batch_idx == first:
            module.optimizer_zero_grad(trainer.current_epoch, batch_idx, optimizer)
        if loss is not None:
            module.manual_backward(loss if window == 1 else loss / window)
            losses.append(loss.detach())
        return loss

    if batch_idx + 1 - first >= window or trainer.is_last_batch:
        module.optimizer_step(trainer.current_epoch, batch_idx, optimizer, closure)
    else:
        closure()
    return losses[-1] if losses else None


def _without_old_keys(configure: Any) -> Any:
    """configure_optimizers, with "frequency" and what plateau schedulers watch kept aside: manual optimization has none of them."""

    @wraps(configure)
    def configured(self: Any) -> Any:
        answer = configure(self)
        self.__dict__["_watched"] = {}
        match answer:
            case [list() as optimizers, list() as schedulers]:
                return optimizers, [_plain(self, scheduler, None) for scheduler in schedulers]
            case [*items] if items and all(isinstance(item, Mapping) for item in items):
                frequencies = [item["frequency"] for item in items if "frequency" in item]
                self.__dict__["_frequencies"] = frequencies
                return [_plain_item(self, item) for item in items]
        return answer

    return configured


def _plain_item(module: Any, item: Mapping[str, Any]) -> dict[str, Any]:
    kept = {
        name: value for name, value in item.items() if name not in ("frequency", "monitor", "lr_scheduler")
    }
    if "lr_scheduler" in item:
        kept["lr_scheduler"] = _plain(module, item["lr_scheduler"], item.get("monitor"))
    return kept


def _plain(module: Any, scheduler: Any, monitor: str | None) -> Any:
    config = dict(scheduler) if isinstance(scheduler, Mapping) else {"scheduler": scheduler}
    watched = config.pop("monitor", monitor)
    strict = config.pop("strict", True)
    if config.pop("reduce_on_plateau", isinstance(config["scheduler"], ReduceLROnPlateau)):
        module.__dict__["_watched"][id(config["scheduler"])] = (watched or "val_loss", strict)
    return config


class ByIndex(Callback):
    """Clipping and schedulers, which the Trainer leaves to modules that step by themselves."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        watched = pl_module.__dict__.get("_watched", {})
        for config in trainer.lr_scheduler_configs:
            if id(config.scheduler) in watched:
                config.monitor, config.strict = watched[id(config.scheduler)]
                config.reduce_on_plateau = True

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        if trainer.gradient_clip_val:
            pl_module.configure_gradient_clipping(
                optimizer, trainer.gradient_clip_val, trainer.gradient_clip_algorithm
            )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0 or trainer.is_last_batch
        if stepped and trainer.lr_scheduler_configs:
            self._step(trainer, pl_module, "step", batch_idx)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.lr_scheduler_configs:
            self._step(trainer, pl_module, "epoch", trainer.current_epoch)

    def _step(self, trainer: Trainer, module: LightningModule, interval: str, index: int) -> None:
        for plateau in (False, True):
            step_schedulers(
                trainer.lr_scheduler_configs,
                interval,
                index,
                plateau,
                lambda: trainer.callback_metrics,
                module.lr_scheduler_step,
            )
