"""Callbacks: what they save, when they stop, what they log."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.runtime.models import Classifier, Validated, loader, quiet

from litify import Callback, LightningModule, MisconfigurationException, Trainer
from litify.callbacks import (
    EarlyStopping,
    LambdaCallback,
    LearningRateMonitor,
    ModelCheckpoint,
    Timer,
    TQDMProgressBar,
)
from litify.loggers import CSVLogger


class Scripted(Classifier):
    """Its validation metric takes the given values, one per epoch."""

    def __init__(self, values: list[float]) -> None:
        super().__init__()
        self.values = values

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        epoch = self.trainer.state.epochs_processed
        self.log("metric", self.values[min(epoch, len(self.values) - 1)])


def fitted(callback: Callback | list[Callback], values: list[float], **options: Any) -> Trainer:
    trainer = quiet(
        **{
            "callbacks": callback,
            "enable_checkpointing": isinstance(callback, ModelCheckpoint),
            "max_epochs": len(values),
            **options,
        }
    )
    trainer.fit(Scripted(values), loader(8), loader(4))
    return trainer


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# -- ModelCheckpoint -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["epoch=3-step=8.ckpt"]),
        ({"save_top_k": -1}, [f"epoch={i}-step={2 * i + 2}.ckpt" for i in range(4)]),
        ({"monitor": "metric"}, ["epoch=1-step=4.ckpt"]),
        ({"monitor": "metric", "mode": "max"}, ["epoch=2-step=6.ckpt"]),
        ({"monitor": "metric", "save_top_k": 2}, ["epoch=1-step=4.ckpt", "epoch=3-step=8.ckpt"]),
        ({"monitor": "metric", "filename": "{epoch:02d}-{metric:.1f}"}, ["epoch=01-metric=1.0.ckpt"]),
        ({"monitor": "metric", "filename": "e{epoch}", "auto_insert_metric_name": False}, ["e1.ckpt"]),
        ({"save_last": True}, ["epoch=3-step=8.ckpt", "last.ckpt"]),
        ({"save_top_k": 0, "save_last": True}, ["last.ckpt"]),
        ({"save_top_k": 0}, []),
        ({"every_n_epochs": 3}, ["epoch=2-step=6.ckpt"]),
        ({"every_n_train_steps": 3, "save_top_k": -1}, ["epoch=1-step=3.ckpt", "epoch=2-step=6.ckpt"]),
        (
            {"train_time_interval": timedelta(0), "save_top_k": -1},
            [f"epoch={i // 2}-step={i + 1}.ckpt" for i in range(8)],
        ),
        # A step to save at comes before the metric of its epoch is there: the save waits for validation.
        (
            {"monitor": "metric", "every_n_train_steps": 2, "save_on_train_epoch_end": False},
            ["epoch=1-step=4.ckpt"],
        ),
    ],
    ids=str,
)
def test_what_is_kept(tmp_path: Path, options: dict[str, Any], expected: list[str]) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    fitted(ModelCheckpoint(folder, **options), [3.0, 1.0, 4.0, 2.0])
    assert names(folder) == expected


def test_best_is_known(tmp_path: Path) -> None:
    checkpoint = ModelCheckpoint(tmp_path, monitor="metric", save_top_k=2)
    trainer = fitted(checkpoint, [3.0, 1.0, 2.0])
    assert checkpoint.best_model_path == str(tmp_path / "epoch=1-step=4.ckpt")
    assert checkpoint.best_model_score == 1 and checkpoint.kth_value == 2 and checkpoint.current_score == 2
    assert trainer.checkpoint_callback is checkpoint
    state = torch.load(checkpoint.best_model_path, weights_only=True)["callbacks"]
    assert list(state) == [
        "ModelCheckpoint{'monitor': 'metric', 'mode': 'min', 'every_n_train_steps': 0, 'every_n_epochs': 1, "
        "'train_time_interval': None}"
    ]


def test_existing_names_get_versions(tmp_path: Path) -> None:
    for _ in range(2):
        fitted(ModelCheckpoint(tmp_path, filename="same"), [1.0])
    assert names(tmp_path) == ["same-v1.ckpt", "same.ckpt"]


def test_last_as_a_link(tmp_path: Path) -> None:
    fitted(ModelCheckpoint(tmp_path, save_last="link"), [1.0, 2.0])
    assert (tmp_path / "last.ckpt").is_symlink()
    assert (tmp_path / "last.ckpt").resolve().name == "epoch=1-step=4.ckpt"


def test_save_on_exception(tmp_path: Path) -> None:
    class Failing(Classifier):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            if batch_idx == 3:
                raise ZeroDivisionError

    trainer = quiet(callbacks=ModelCheckpoint(tmp_path, save_on_exception=True), enable_checkpointing=True)
    with pytest.raises(ZeroDivisionError):
        trainer.fit(Failing(), loader(20))
    assert names(tmp_path) == ["epoch=0-step=3.ckpt"]


def test_metric_that_is_never_logged(tmp_path: Path) -> None:
    with pytest.raises(MisconfigurationException, match=r"monitor='nothing'.*logged are \['metric'\]"):
        fitted(ModelCheckpoint(tmp_path, monitor="nothing"), [1.0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "best"}, "mode='best'"),
        ({"save_top_k": -2}, "save_top_k=-2"),
        ({"save_top_k": 3}, "needs monitor="),
        ({"every_n_epochs": 1, "every_n_train_steps": 1}, "pass one of them"),
        ({"every_n_train_steps": -1}, "every_n_train_steps=-1"),
    ],
    ids=str,
)
def test_checkpoint_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(MisconfigurationException, match=message):
        ModelCheckpoint(**options)


# -- EarlyStopping ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "values", "epochs"),
    [
        ({"patience": 1}, [3, 2, 2, 1], 3),
        ({"patience": 2}, [3, 2, 2, 2, 1], 4),
        ({"patience": 1, "mode": "max"}, [1, 2, 2, 3], 3),
        ({"patience": 1, "min_delta": 0.5}, [3, 2.8, 1], 2),
        ({"stopping_threshold": 1.5}, [3, 2, 1, 0], 3),
        ({"divergence_threshold": 5}, [3, 6, 1], 2),
        ({}, [3, float("nan"), 1], 2),
        ({"patience": 3}, [3, 2, 1], 3),
    ],
    ids=str,
)
def test_when_it_stops(options: dict[str, Any], values: list[float], epochs: int) -> None:
    assert fitted(EarlyStopping("metric", **options), values).current_epoch == epochs


def test_early_stopping_goes_on_counting_after_resume(tmp_path: Path) -> None:
    first = fitted(EarlyStopping("metric", patience=3), [1.0, 2.0], max_epochs=2)
    first.save_checkpoint(tmp_path / "x.ckpt")
    callback = EarlyStopping("metric", patience=3)
    trainer = quiet(callbacks=callback, max_epochs=10)
    trainer.fit(Scripted([2.0]), loader(8), loader(4), ckpt_path=tmp_path / "x.ckpt")
    assert trainer.current_epoch == 4 and callback.best_score == 1


def test_monitor_that_is_never_logged() -> None:
    with pytest.raises(RuntimeError, match=r"EarlyStopping\(monitor='nothing'\).*\['metric'\]"):
        fitted(EarlyStopping("nothing"), [1.0])
    with pytest.warns(RuntimeWarning, match="no such metric"):
        fitted(EarlyStopping("nothing", strict=False), [1.0])


# -- others ----------------------------------------------------------------------------------------------------------------


def test_learning_rates_are_logged(tmp_path: Path) -> None:
    class Module(Classifier):
        def configure_optimizers(self) -> Any:
            groups = [{"params": self.net[0].parameters()}, {"params": self.net[3].parameters(), "lr": 0.5}]
            optimizer = torch.optim.SGD(groups, lr=1.0, momentum=0.9)
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]

    monitor = LearningRateMonitor(log_momentum=True)
    quiet(callbacks=monitor, logger=CSVLogger(tmp_path), max_epochs=2).fit(Module(), loader(8))
    assert monitor.lrs == {"lr-SGD/pg1": [1.0, pytest.approx(0.1)], "lr-SGD/pg2": [0.5, pytest.approx(0.05)]}
    assert monitor.last_momentum_values == {"lr-SGD/pg1-momentum": 0.9, "lr-SGD/pg2-momentum": 0.9}
    with pytest.raises(MisconfigurationException, match="no logger"):
        quiet(callbacks=LearningRateMonitor()).fit(Classifier(), loader(8))


def test_lambda_callback() -> None:
    calls: list[str] = []
    callback = LambdaCallback(
        on_train_epoch_end=lambda trainer, module: calls.append(f"end {trainer.current_epoch}")
    )
    quiet(callbacks=callback).fit(Classifier(), loader(8))
    assert calls == ["end 0", "end 1"]
    with pytest.raises(MisconfigurationException, match="has no such hook"):
        LambdaCallback(on_lunch=print)


def test_timer_measures() -> None:
    timer = Timer()
    quiet(callbacks=timer).fit(Validated(), loader(8), loader(4))
    assert timer.time_elapsed("train") > timer.time_elapsed("validate") > 0
    assert timer.time_remaining() is None


def test_module_brings_callbacks_that_replace_the_trainers() -> None:
    mine = EarlyStopping("loss")

    class Module(Classifier):
        def configure_callbacks(self) -> Any:
            return [mine]

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.log("loss", 1.0)
            return super().training_step(batch, batch_idx)

    trainer = quiet(callbacks=[EarlyStopping("other")])
    trainer.fit(Module(), loader(8))
    assert trainer.early_stopping_callbacks == [mine]


def test_only_overridden_hooks_are_called_and_checkpoints_run_last(tmp_path: Path) -> None:
    order: list[str] = []

    class Noting(Callback):
        def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            order.append("callback")

    class Saving(ModelCheckpoint):
        def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            order.append("checkpoint")

    class Module(Classifier):
        def on_train_epoch_end(self) -> None:
            order.append("module")

    quiet(callbacks=[Saving(tmp_path), Noting()], enable_checkpointing=True, max_epochs=1).fit(
        Module(), loader(8)
    )
    assert order == ["callback", "module", "checkpoint"]


def test_two_callbacks_of_the_same_state_key() -> None:
    with pytest.raises(RuntimeError, match="same key"):
        quiet(callbacks=[EarlyStopping("a"), EarlyStopping("a")])


def test_bar_moves_and_prints_above_itself(capsys: pytest.CaptureFixture[str]) -> None:
    class Module(Validated):
        def on_train_epoch_end(self) -> None:
            self.print("between", self.current_epoch)

    bar = TQDMProgressBar()
    quiet(callbacks=bar, enable_progress_bar=True).fit(Module(), loader(8), loader(4))
    said = capsys.readouterr()
    assert said.out == "between 0\nbetween 1\n"
    assert "Epoch 1: 100%" in said.err and "Validation" in said.err
    assert bar.train_progress_bar.total == 2
