"""Side by side with the real package: the same script gives the same hooks, keys, counters, weights and checkpoints."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from tests.runtime.models import loader, loss_of, network
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR

import litify

try:
    import lightning.pytorch as lightning
except Exception as error:  # a broken torchvision beside it stops it in more ways than ImportError
    pytest.skip(f"lightning cannot be imported: {error}", allow_module_level=True)

HOOKS = [
    "on_fit_start",
    "on_fit_end",
    "on_train_start",
    "on_train_end",
    "on_train_epoch_start",
    "on_train_epoch_end",
    "on_train_batch_start",
    "on_train_batch_end",
    "on_validation_start",
    "on_validation_end",
    "on_validation_epoch_start",
    "on_validation_epoch_end",
    "on_validation_batch_start",
    "on_validation_batch_end",
    "on_test_start",
    "on_test_end",
    "on_test_epoch_start",
    "on_test_epoch_end",
    "on_test_batch_start",
    "on_test_batch_end",
    "on_predict_start",
    "on_predict_end",
    "on_predict_epoch_start",
    "on_predict_epoch_end",
    "on_predict_batch_start",
    "on_predict_batch_end",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_before_zero_grad",
    "on_save_checkpoint",
    "on_load_checkpoint",
    "setup",
    "teardown",
]
MODULE_HOOKS = [
    "configure_model",
    "configure_optimizers",
    "prepare_data",
    "train_dataloader",
    "val_dataloader",
    "backward",
    "optimizer_step",
    "optimizer_zero_grad",
    "lr_scheduler_step",
    "configure_gradient_clipping",
    "on_validation_model_eval",
    "on_test_model_eval",
    "on_before_batch_transfer",
    "on_after_batch_transfer",
    "transfer_batch_to_device",
    "training_step",
    "validation_step",
    "test_step",
    "predict_step",
    "configure_callbacks",
]
CALLBACK_HOOKS = ["on_sanity_check_start", "on_sanity_check_end"]

Calls = list[str]


def recorded(base: type, names: list[str], who: str, calls: Calls) -> type:
    """A subclass that notes each call of these methods before passing it on."""

    def method(name: str) -> Any:
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            calls.append(f"{who}.{name}")
            return getattr(super(made, self), name)(*args, **kwargs)

        return call

    made: type = type("Recorded", (base,), {name: method(name) for name in names})
    return made


def module_class(package: ModuleType, manual: bool = False) -> type:
    class Module(package.LightningModule):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = not manual
            self.net = network()

        def train_dataloader(self) -> Any:
            return loader(20, shuffle=True)

        def val_dataloader(self) -> Any:
            return loader(8)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = loss_of(self.net, batch)
            self.log("loss", loss, on_step=True, on_epoch=True, prog_bar=True)
            if manual:
                optimizer = self.optimizers()
                optimizer.zero_grad()
                self.manual_backward(loss)
                optimizer.step()
            return loss

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val_loss", loss_of(self.net, batch))
            self.log("val_step", loss_of(self.net, batch), on_step=True, on_epoch=True)

        def test_step(self, batch: Any, batch_idx: int) -> None:
            self.log("test_loss", loss_of(self.net, batch))

        def predict_step(self, batch: Any, batch_idx: int) -> Any:
            return self.net(batch[0])

        def on_train_epoch_end(self) -> None:
            self.log("at_end", 1.0)

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.Adam(self.parameters(), lr=0.02)
            plateau = {
                "scheduler": ReduceLROnPlateau(optimizer, patience=0),
                "monitor": "val_loss",
                "strict": False,
            }
            if manual:
                return optimizer
            return [optimizer], [plateau, {"scheduler": StepLR(optimizer, 3), "interval": "step"}]

    return Module


def trainer_of(package: ModuleType, folder: Path, **options: Any) -> Any:
    defaults = {
        "max_epochs": 2, "accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False, "logger": False,
        "enable_checkpointing": False, "default_root_dir": folder,
    }  # fmt: skip
    return package.Trainer(**{**defaults, **options})


OPTIONS: list[dict[str, Any]] = [
    {},
    {"accumulate_grad_batches": 2},
    {"val_check_interval": 2},
    {"check_val_every_n_epoch": 2, "gradient_clip_val": 0.5},
    {"max_steps": 7, "max_epochs": -1},
    {"limit_train_batches": 3, "limit_val_batches": 0},
    {"num_sanity_val_steps": 0, "enable_checkpointing": True},
    {"reload_dataloaders_every_n_epochs": 1},
]


def hook_calls(package: ModuleType, folder: Path, manual: bool, options: dict[str, Any]) -> Calls:
    calls: Calls = []
    callback = recorded(package.Callback, HOOKS + CALLBACK_HOOKS, "callback", calls)()
    module = recorded(module_class(package, manual), HOOKS + MODULE_HOOKS, "module", calls)()
    trainer = trainer_of(package, folder, callbacks=[callback], **options)
    trainer.fit(module)
    calls.append("-- test")
    trainer.test(module, loader(8), verbose=False)
    calls.append("-- predict")
    trainer.predict(module, loader(8))
    calls.append("-- validate")
    trainer.validate(module, verbose=False)
    return calls


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("manual", [False, True], ids=["automatic", "manual"])
def test_hooks_run_in_the_same_order(tmp_path: Path, manual: bool, options: dict[str, Any]) -> None:
    if manual and options.keys() & {"accumulate_grad_batches", "gradient_clip_val"}:
        pytest.skip("refused under manual optimization")
    warnings.simplefilter("ignore")
    theirs = hook_calls(lightning, tmp_path / "theirs", manual, options)
    ours = hook_calls(litify, tmp_path / "ours", manual, options)
    assert ours == theirs


def metrics_of(package: ModuleType, folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Everything that a user can read about a training."""
    rows: list[Any] = []
    bases: Any = package.loggers.logger.Logger if package is lightning else litify.loggers.Logger

    class Recording(bases):  # type: ignore[misc]
        name, version = "recording", 0

        def log_metrics(self, metrics: Any, step: Any = None) -> None:
            rows.append((step, {key: round(float(value), 5) for key, value in metrics.items()}))

        def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
            pass

    torch.manual_seed(0)
    module = module_class(package)()
    trainer = trainer_of(package, folder, **{**options, "logger": Recording(), "log_every_n_steps": 2})
    seen: list[Any] = []

    def look(where: str) -> None:
        names = sorted(trainer.callback_metrics)
        seen.append(
            (where, names, trainer.global_step, trainer.current_epoch, sorted(trainer.logged_metrics))
        )

    class Looking(package.Callback):  # type: ignore[misc,name-defined]
        def on_train_batch_end(self, *_: Any) -> None:
            look("batch")

        def on_validation_end(self, *_: Any) -> None:
            look("validation")

        def on_train_epoch_end(self, *_: Any) -> None:
            look("epoch")

        def on_train_end(self, *_: Any) -> None:
            look("end")

    trainer.callbacks.append(Looking())
    trainer.fit(module)
    found = {name: round(float(value), 5) for name, value in trainer.callback_metrics.items()}
    validated = trainer.validate(module, verbose=False)
    return {
        "rows": rows,
        "seen": seen,
        "final": found,
        "bar": sorted(trainer.progress_bar_metrics),
        "counters": (
            trainer.global_step,
            trainer.current_epoch,
            trainer.num_training_batches,
            trainer.num_val_batches,
        ),
        "validated": [{name: round(value, 5) for name, value in metrics.items()} for metrics in validated],
        "weights": {name: value.sum().item() for name, value in module.state_dict().items()},
    }


@pytest.mark.parametrize("options", [o for o in OPTIONS if "max_steps" not in o], ids=str)
def test_metrics_rows_and_weights_are_the_same(tmp_path: Path, options: dict[str, Any]) -> None:
    """Numbers are left out where they differ on purpose.

    20 samples by 4 are 5 batches: with accumulation the last window is shorter, and weighs right here. Loaders asked for anew are
    iterated once here, twice there, which draws another random number.
    """
    numbers_differ = options.keys() & {"accumulate_grad_batches", "reload_dataloaders_every_n_epochs"}
    warnings.simplefilter("ignore")
    theirs = metrics_of(lightning, tmp_path / "theirs", options)
    ours = metrics_of(litify, tmp_path / "ours", options)
    for key in theirs:
        if numbers_differ and key in ("rows", "final", "weights", "validated"):
            continue
        assert ours[key] == theirs[key], key


@pytest.mark.parametrize("writer", [lightning, litify], ids=["written by lightning", "written by litify"])
@pytest.mark.parametrize("place", ["epoch end", "batch", "validation"])
def test_checkpoints_go_on_in_the_other_package(tmp_path: Path, writer: ModuleType, place: str) -> None:
    warnings.simplefilter("ignore")
    reader = litify if writer is lightning else lightning
    path = tmp_path / "x.ckpt"

    class Saving(writer.Callback):  # type: ignore[misc,name-defined]
        def on_train_batch_end(
            self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
        ) -> None:
            if place == "batch" and trainer.current_epoch == 1 and batch_idx == 2:
                trainer.save_checkpoint(path)

        def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
            if place == "validation" and trainer.current_epoch == 1:
                trainer.save_checkpoint(path)

        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            if place == "epoch end" and trainer.current_epoch == 1:
                trainer.save_checkpoint(path)

    trainer_of(writer, tmp_path, callbacks=[Saving()], max_epochs=2).fit(module_class(writer)())
    started: list[Any] = []

    class Noting(reader.Callback):  # type: ignore[misc,name-defined]
        def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
            started.append((trainer.current_epoch, batch_idx, trainer.global_step))

    trainer = trainer_of(reader, tmp_path, callbacks=[Noting()], max_epochs=3)
    module = module_class(reader)()
    trainer.fit(module, ckpt_path=path, weights_only=False)
    first = {"epoch end": (2, 0, 10), "batch": (1, 3, 8), "validation": (2, 0, 10)}[place]
    assert started[0] == first
    assert (trainer.current_epoch, trainer.global_step) == (3, 15)
    loaded = module_class(reader).load_from_checkpoint(path, weights_only=False)  # type: ignore[attr-defined]
    assert isinstance(loaded, nn.Module)
