"""DeviceStatsMonitor: how busy devices are, to the loggers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litify.callbacks.base import Callback
from litify.errors import MisconfigurationException
from litify.rank_zero import warn

if TYPE_CHECKING:
    from litify.module import LightningModule
    from litify.trainer import Trainer


class DeviceStatsMonitor(Callback):
    """Logs memory and use of the device before and after batches, every `log_every_n_steps`.

    Args:
        cpu_stats: also, with another device, those of the CPU; False: not even where the CPU is the device.
        filter_keys: which statistics to log, e.g. {"allocated_bytes.all.current"}; None: all.

    Raises:
        MisconfigurationException: there is no logger.
        MissingExtra: statistics of the CPU need psutil.
    """

    def __init__(self, cpu_stats: bool | None = None, filter_keys: set[str] | None = None) -> None:
        self._cpu_stats, self._filter_keys = cpu_stats, filter_keys

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        if not trainer.loggers:
            raise MisconfigurationException(
                "DeviceStatsMonitor has no logger to log to; pass Trainer(logger=True) or remove it."
            )
        unknown = (self._filter_keys or set()) - self._stats(trainer).keys()
        if unknown:
            warn(f"DeviceStatsMonitor(filter_keys=...): this device has no {', '.join(sorted(unknown))}.")

    def _stats(self, trainer: Trainer) -> dict[str, Any]:
        device = trainer.strategy.root_device
        if device.type == "cpu" and self._cpu_stats is False:
            return {}
        stats = dict(trainer.accelerator.get_device_stats(device))
        if device.type != "cpu" and self._cpu_stats:
            from litify.accelerators.cpu import CPUAccelerator

            stats.update(CPUAccelerator().get_device_stats(device))
        return stats

    def _log(self, trainer: Trainer, hook: str) -> None:
        if not trainer.logs_now:
            return
        stats = self._stats(trainer)
        if self._filter_keys is not None:
            stats = {name: value for name, value in stats.items() if name in self._filter_keys}
        for logger in trainer.loggers if stats and trainer.is_global_zero else ():
            prefix = f"{type(self).__qualname__}.{hook}{logger.group_separator}"
            row = {prefix + name: value for name, value in stats.items()}
            logger.log_metrics(row, step=trainer.state.batches_stepped)

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        self._log(trainer, "on_train_batch_start")

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self._log(trainer, "on_train_batch_end")

    def on_validation_batch_start(self, trainer: Trainer, *_: Any) -> None:
        self._log(trainer, "on_validation_batch_start")

    def on_validation_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self._log(trainer, "on_validation_batch_end")

    def on_test_batch_start(self, trainer: Trainer, *_: Any) -> None:
        self._log(trainer, "on_test_batch_start")

    def on_test_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self._log(trainer, "on_test_batch_end")
