"""LearningRateMonitor: learning rates to the loggers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litify.callbacks.base import Callback
from litify.errors import MisconfigurationException
from litify.rank_zero import warn

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from litify.module import LightningModule
    from litify.trainer import Trainer


class LearningRateMonitor(Callback):
    """Logs the learning rate of each optimizer and parameter group, as lr-Adam, lr-Adam/pg1 ...

    Args:
        logging_interval: "step", "epoch", or None for the interval of each scheduler.
        log_momentum: also log momentum or beta1.
        log_weight_decay: also log weight decay.
        log_key_prefix: put before every name.

    Attributes:
        lrs: by name, the learning rates logged so far.

    Raises:
        MisconfigurationException: another interval, or a Trainer without a logger.
    """

    def __init__(
        self,
        logging_interval: str | None = None,
        log_momentum: bool = False,
        log_weight_decay: bool = False,
        log_key_prefix: str | None = None,
    ) -> None:
        if logging_interval not in (None, "step", "epoch"):
            raise MisconfigurationException(
                f"LearningRateMonitor(logging_interval={logging_interval!r}): pass 'step', 'epoch' or None."
            )
        self.logging_interval, self.log_momentum, self.log_weight_decay = (
            logging_interval,
            log_momentum,
            log_weight_decay,
        )
        self._prefix = log_key_prefix or ""
        self.lrs: dict[str, list[float]] = {}
        self.last_momentum_values: dict[str, float | None] = {}
        self.last_weight_decay_values: dict[str, float | None] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.loggers:
            raise MisconfigurationException(
                "LearningRateMonitor has no logger to log to; pass Trainer(logger=True) or remove it."
            )
        self._names = self._name_groups(trainer)
        if not trainer.lr_scheduler_configs:
            warn(
                "LearningRateMonitor: there is no scheduler, so rates change only where the module sets them.",
                RuntimeWarning,
            )
        if self.log_momentum and not any(
            {"momentum", "betas"} & optimizer.defaults.keys() for optimizer in trainer.optimizers
        ):
            warn(
                "LearningRateMonitor(log_momentum=True): no optimizer has momentum; 0 is logged.",
                RuntimeWarning,
            )
        self.lrs = {name: [] for name, *_ in self._names}
        self.last_momentum_values = {f"{name}-momentum": None for name, *_ in self._names}
        self.last_weight_decay_values = {f"{name}-weight_decay": None for name, *_ in self._names}

    def _name_groups(self, trainer: Trainer) -> list[tuple[str, Optimizer, int, str | None]]:
        """(name, optimizer, parameter group, interval) of everything to log; names made unique. No scheduler: no interval, logged at both."""
        configs = {id(config.scheduler.optimizer): config for config in trainer.lr_scheduler_configs}
        kinds = [type(optimizer).__name__ for optimizer in trainer.optimizers]
        found: list[tuple[str, Optimizer, int, str | None]] = []
        for index, optimizer in enumerate(trainer.optimizers):
            config = configs.get(id(optimizer))
            earlier = kinds[:index].count(kinds[index])
            base = f"lr-{kinds[index]}" + (f"-{earlier}" if earlier else "")
            if config is not None and config.name is not None:
                base = config.name
            base = self._prefix + base
            several = len(optimizer.param_groups) > 1
            given = [values["name"] for values in optimizer.param_groups if "name" in values]
            if len(set(given)) < len(given):
                raise MisconfigurationException(
                    f"LearningRateMonitor: parameter groups of {kinds[index]} have the same name {given}; give each its own."
                )
            for group, values in enumerate(optimizer.param_groups):
                suffix = f"/{values.get('name', f'pg{group + 1}')}" if several or "name" in values else ""
                found.append(
                    (base + suffix, optimizer, group, config.interval if config is not None else None)
                )
        return found

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.logs_now and self.logging_interval != "epoch":
            self._log(trainer, "step")

    def _follow_new_groups(self, trainer: Trainer) -> None:
        """Take in parameter groups added since training began; an only group becomes the first of several."""
        if len(self._names) == sum(len(optimizer.param_groups) for optimizer in trainer.optimizers):
            return
        self._names = self._name_groups(trainer)
        for name, *_ in self._names:
            before = name.removesuffix("/pg1")
            self.lrs.setdefault(name, self.lrs.pop(before, []) if before != name else [])
            self.last_momentum_values.setdefault(f"{name}-momentum", None)
            self.last_weight_decay_values.setdefault(f"{name}-weight_decay", None)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._follow_new_groups(trainer)
        if self.logging_interval != "step":
            self._log(trainer, "epoch")

    def _log(self, trainer: Trainer, interval: str) -> None:
        row: dict[str, float] = {}
        for name, optimizer, index, own in self._names:
            if self.logging_interval is None and own not in (None, interval):
                continue
            group = optimizer.param_groups[index]
            rate = float(group["lr"])
            self.lrs[name].append(rate)
            row[name] = rate
            if self.log_momentum:
                momentum = float(group["betas"][0] if "betas" in group else group.get("momentum", 0))
                self.last_momentum_values[f"{name}-momentum"] = row[f"{name}-momentum"] = momentum
            if self.log_weight_decay:
                decay = float(group.get("weight_decay", 0))
                self.last_weight_decay_values[f"{name}-weight_decay"] = row[f"{name}-weight_decay"] = decay
        if row:
            trainer.take_metrics(row)
            for logger in trainer.loggers if trainer.is_global_zero else ():
                logger.log_metrics(metrics=row, step=trainer.state.batches_stepped)
