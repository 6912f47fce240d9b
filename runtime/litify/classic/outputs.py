"""training_epoch_end(outputs) and the like, and step results that are dictionaries with "log" and "progress_bar"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from litify.callbacks.base import Callback
from litify.classic.hints import hint
from litify.classic.hooks import EPOCH_ENDS

if TYPE_CHECKING:
    from litify.module import LightningModule
    from litify.trainer import Trainer


def log_result(module: LightningModule, result: Any, whole: bool = False) -> None:
    """`self.log` what a classic result has under "log" (for loggers) and "progress_bar" (for the bar).

    Args:
        whole: also its other values, for callbacks to monitor, as results of *_epoch_end had it.
    """
    if not isinstance(result, Mapping):
        return
    logs, bars = (result.get(key) for key in ("log", "progress_bar"))
    logs, bars = (dict(found) if isinstance(found, Mapping) else {} for found in (logs, bars))
    if logs or bars:
        hint('{"log": ..., "progress_bar": ...} in results', "self.log(name, value, prog_bar=...)")
    for name, value in {**bars, **logs}.items():
        module.log(name, value, logger=name in logs, prog_bar=name in bars)
    for name, value in result.items() if whole else ():
        number = isinstance(value, (int, float)) or (isinstance(value, Tensor) and value.numel() == 1)
        if number and name not in logs and name not in bars:
            module.log(name, value, logger=False)


class ClassicOutputs(Callback):
    """Keeps what the steps of an epoch return, and hands it to the module's *_epoch_end."""

    def __init__(self) -> None:
        self._outputs: dict[str, list[Any]] = {}

    def _end_of(self, module: LightningModule, kind: str) -> Any:
        for name in EPOCH_ENDS[kind]:
            if hasattr(module, name):
                hint(f"{name}(outputs)", f"on_{kind}_epoch_end, with outputs kept by the steps themselves")
                return getattr(module, name)
        return None

    def _finish(self, module: LightningModule, kind: str) -> None:
        end, outputs = self._end_of(module, kind), self._outputs.pop(kind, [])
        if end is not None:
            log_result(module, end(outputs), whole=True)

    # -- training -----------------------------------------------------------------------------------------------------

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._outputs["train"] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        log_result(pl_module, outputs)
        if outputs and self._end_of(pl_module, "train") is not None:
            self._outputs.setdefault("train", []).append(outputs)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._finish(pl_module, "train")

    # -- evaluation ---------------------------------------------------------------------------------------------------

    def _keep(self, trainer: Trainer, kind: str, outputs: Any, loader_idx: int) -> None:
        job = trainer.eval_job
        several = job is not None and job.loaders is not None and len(job.loaders.flat) > 1
        kept = self._outputs.setdefault(kind, [])
        if several:
            assert job is not None and job.loaders is not None
            while len(kept) < len(job.loaders.flat):
                kept.append([])
            kept = kept[loader_idx]
        if outputs is not None:
            kept.append(outputs)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._keep(trainer, "validation", outputs, dataloader_idx)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._keep(trainer, "test", outputs, dataloader_idx)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._finish(pl_module, "validation")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._finish(pl_module, "test")
