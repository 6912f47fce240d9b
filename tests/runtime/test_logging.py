"""`self.log`: which keys, which values, when; and that nothing waits for the device."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from tests.runtime.models import Classifier, Validated, loader, quiet
from torch import Tensor, nn

from litify import Callback, LightningModule, MisconfigurationException, Trainer
from litify.loggers import CSVLogger, TensorBoardLogger
from litify.loggers.base import Logger


class Recording(Logger):
    """Keeps the rows it gets."""

    name, version = "recording", 0

    def __init__(self) -> None:
        self.rows: list[tuple[int | None, dict[str, float]]] = []

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        self.rows.append((step, dict(metrics)))

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        self.params = params


class Values(Classifier):
    """Logs the numbers 0, 1, 2 ... of its batches, as it is told."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__()
        self.arguments = arguments

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.log("value", torch.tensor(float(batch_idx)), **self.arguments)
        return super().training_step(batch, batch_idx)


def fitted(module: LightningModule, samples: int = 12, **options: Any) -> tuple[Trainer, list[Any]]:
    logger = Recording()
    trainer = quiet(**{"logger": logger, "max_epochs": 1, "log_every_n_steps": 1, **options})
    trainer.fit(module, loader(samples), loader(8) if isinstance(module, Validated) else None)
    return trainer, logger.rows


def test_step_values_go_to_the_logger_every_n_steps() -> None:
    _, rows = fitted(Values(), samples=24, log_every_n_steps=2)
    assert rows == [
        (1, {"value": 1.0, "epoch": 0}),
        (3, {"value": 3.0, "epoch": 0}),
        (5, {"value": 5.0, "epoch": 0}),
    ]


def test_step_and_epoch_make_two_names() -> None:
    trainer, rows = fitted(Values(on_step=True, on_epoch=True))
    assert rows == [(i, {"value_step": float(i), "epoch": 0}) for i in range(3)] + [
        (2, {"value_epoch": 1.0, "epoch": 0})
    ]
    assert {name: value.item() for name, value in trainer.callback_metrics.items()} == {
        "value": 1.0, "value_step": 2.0, "value_epoch": 1.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("reduce", "expected"), [("mean", 1.0), ("sum", 3.0), ("min", 0.0), ("max", 2.0), (torch.sum, 3.0)]
)
def test_reductions(reduce: Any, expected: float) -> None:
    trainer, rows = fitted(Values(on_step=False, on_epoch=True, reduce_fx=reduce))
    assert rows == [(2, {"value": expected, "epoch": 0})]
    assert trainer.callback_metrics["value"] == expected


def test_mean_is_weighted_by_batch_size_found_in_the_batch() -> None:
    """Batches of 4, 4 and 2."""
    trainer, _ = fitted(Values(on_step=False, on_epoch=True), samples=10)
    assert trainer.callback_metrics["value"].item() == pytest.approx((0 * 4 + 1 * 4 + 2 * 2) / 10)


def test_mean_is_weighted_by_batch_size_given() -> None:
    class Module(Values):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.log("value", float(batch_idx), on_step=False, on_epoch=True, batch_size=batch_idx + 1)
            return Classifier.training_step(self, batch, batch_idx)

    trainer, _ = fitted(Module())
    assert trainer.callback_metrics["value"].item() == pytest.approx((0 * 1 + 1 * 2 + 2 * 3) / 6)


def test_validation_metric_is_there_in_on_validation_epoch_end() -> None:
    seen: list[Any] = []

    class Module(Validated):
        def on_validation_epoch_end(self) -> None:
            seen.append(sorted(self.trainer.callback_metrics))

    fitted(Module(), num_sanity_val_steps=0)
    assert seen == [["val_loss"]]


def test_sanity_check_leaves_no_metrics() -> None:
    seen: list[Any] = []

    class Module(Validated):
        def on_train_start(self) -> None:
            seen.append(dict(self.trainer.callback_metrics))

    _, rows = fitted(Module())
    assert seen == [{}] and all(step == 2 for step, _ in rows)


def test_several_loaders_make_names_with_their_index() -> None:
    class Module(Validated):
        def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int) -> None:
            self.log("v", float(dataloader_idx))
            self.log("whole", 1.0, reduce_fx="sum", add_dataloader_idx=False) if dataloader_idx == 0 else None

    trainer = quiet()
    answer = trainer.validate(Module(), [loader(8), loader(4)], verbose=False)
    assert answer == [{"v/dataloader_idx_0": 0.0, "whole": 2.0}, {"v/dataloader_idx_1": 1.0}]
    assert sorted(trainer.callback_metrics) == ["v/dataloader_idx_0", "v/dataloader_idx_1", "whole"]


def test_value_changed_in_place_afterwards_stays_what_it_was() -> None:
    class Module(Classifier):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            total = torch.ones(1)
            self.log("total", total)
            total += 100
            return super().training_step(batch, batch_idx)

    assert fitted(Module())[0].callback_metrics["total"] == 1


def test_logging_never_reads_from_the_device_unless_a_row_is_due() -> None:
    class Module(Values):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = Classifier.training_step(self, batch, batch_idx)
            self.log("a", loss, prog_bar=True, on_step=True, on_epoch=True)
            self.log("b", loss.detach() * 2, on_epoch=True)
            return loss

    reads = 0
    plain = Tensor.item

    def item(tensor: Tensor) -> Any:
        nonlocal reads
        reads += 1
        return plain(tensor)

    batches = list(loader(40))  # a DataLoader's iterator reads its own seed
    with mock.patch.object(Tensor, "item", item), mock.patch.object(Tensor, "__float__", item):
        quiet(logger=Recording(), max_epochs=1, log_every_n_steps=10).fit(Module(), batches)
    assert reads == 4, "two values for the row of step 10, two for that of the epoch"


def test_metric_objects_are_computed_at_the_end_and_reset() -> None:
    torchmetrics = pytest.importorskip("torchmetrics")
    seen: list[float] = []

    class Module(Classifier):
        def __init__(self) -> None:
            super().__init__()
            self.metric = torchmetrics.SumMetric()

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.metric(1.0)
            self.log("metric", self.metric, on_step=True, on_epoch=True)
            return super().training_step(batch, batch_idx)

        def on_train_epoch_end(self) -> None:
            seen.append(self.trainer.callback_metrics["metric_epoch"].item())

    _, rows = fitted(Module(), max_epochs=2)
    assert seen == [3.0, 3.0]
    assert [row for row in rows if "metric_epoch" in row[1]] == [
        (2, {"metric_epoch": 3.0, "epoch": 0}),
        (5, {"metric_epoch": 3.0, "epoch": 1}),
    ]


def test_callbacks_log_by_the_module() -> None:
    class Watching(Callback):
        def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            pl_module.log("from_callback", 7.0)

    trainer, rows = fitted(Classifier(), callbacks=Watching())
    assert rows == [(2, {"from_callback": 7.0, "epoch": 0})]
    assert trainer.callback_metrics["from_callback"] == 7


def test_a_metric_named_step_is_the_x_axis() -> None:
    class Module(Classifier):
        def on_train_epoch_end(self) -> None:
            self.log_dict({"a": 1.0, "step": 42.0})

    assert fitted(Module())[1] == [(42, {"a": 1.0})]


def test_child_modules_log_too() -> None:
    class Child(LightningModule):
        def forward(self, x: Tensor) -> Tensor:
            self.log("child", 3.0)
            return x

    class Module(Classifier):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(Child(), self.net)

    assert fitted(Module())[0].callback_metrics["child"] == 3


# -- refusals ------------------------------------------------------------------------------------------------------------


def logging_in(hook: str, *args: Any, **arguments: Any) -> Any:
    def log(self: LightningModule, *_: Any, **__: Any) -> None:
        self.log(*(args or ("x", 1.0)), **arguments)

    return type("Module", (Validated,), {hook: log})()


@pytest.mark.parametrize(
    "hook", ["on_fit_start", "on_train_end", "setup", "on_validation_end", "configure_model", "teardown"]
)
def test_hooks_that_cannot_log(hook: str) -> None:
    with pytest.raises(
        MisconfigurationException, match=r"self\.log.*(cannot be called|nothing can be logged)"
    ):
        fitted(logging_in(hook))


def test_epoch_hooks_know_no_steps() -> None:
    with pytest.raises(MisconfigurationException, match="inside on_train_epoch_end: it runs once per epoch"):
        fitted(logging_in("on_train_epoch_end", on_step=True))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.ones(2), "tensor of 2 elements"),
        ("text", "got a str"),
        ({"a": 1.0}, "self.log_dict"),
        (None, "got a NoneType"),
    ],
)
def test_values_that_are_no_numbers(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fitted(logging_in("on_train_batch_start", "x", value))


def test_same_name_twice_with_other_arguments() -> None:
    class Module(Classifier):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.log("x", 1.0)
            self.log("x", 1.0, prog_bar=True)

    with pytest.raises(MisconfigurationException, match="twice in training_step with different arguments"):
        fitted(Module())


def test_nothing_to_log_at() -> None:
    with pytest.raises(MisconfigurationException, match="logs nothing"):
        fitted(logging_in("on_train_batch_start", on_step=False, on_epoch=False))


def test_unknown_reduction() -> None:
    with pytest.raises(MisconfigurationException, match="reduce_fx='median'"):
        fitted(logging_in("on_train_batch_start", reduce_fx="median"))


def test_without_a_trainer_it_only_warns() -> None:
    with pytest.warns(UserWarning, match="no Trainer runs this module"):
        Classifier().log("x", 1.0)


# -- loggers -------------------------------------------------------------------------------------------------------------


def scalars_of(folder: str) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(folder)
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]
    }


def test_tensorboard_by_default(tmp_path: Path) -> None:
    for version in (0, 1):
        trainer = Trainer(
            max_epochs=2,
            accelerator="cpu",
            default_root_dir=tmp_path,
            log_every_n_steps=1,
            enable_progress_bar=False,
        )
        trainer.fit(Values(), loader(12))
        assert trainer.log_dir == str(tmp_path / f"lightning_logs/version_{version}")
    assert (tmp_path / "lightning_logs/version_1/hparams.yaml").read_text() == "lr: 0.1\ndropout: 0.5\n"
    assert (tmp_path / "lightning_logs/version_1/checkpoints/epoch=1-step=6.ckpt").exists()
    assert scalars_of(str(tmp_path / "lightning_logs/version_0"))["value"] == [
        (i, float(i % 3)) for i in range(6)
    ]


def test_tensorboard_hyperparameters_and_writer(tmp_path: Path) -> None:
    trainer = quiet(logger=TensorBoardLogger(tmp_path, name="exp", version="mine"), max_epochs=1)

    class Module(Classifier):
        def on_train_epoch_end(self) -> None:
            self.logger.experiment.add_scalar("own", 5.0, 3)

    trainer.fit(Module(lr=0.25), loader(8))
    assert (tmp_path / "exp/mine/hparams.yaml").read_text() == "lr: 0.25\ndropout: 0.5\n"
    found = scalars_of(str(tmp_path / "exp/mine"))
    assert found["own"] == [(3, 5.0)] and found["hp_metric"] == [(0, -1.0)]


def test_csv(tmp_path: Path) -> None:
    class Module(Values):
        def on_train_epoch_end(self) -> None:
            self.log("late", 9.0)

    quiet(logger=CSVLogger(tmp_path), max_epochs=1, log_every_n_steps=1).fit(Module(), loader(8))
    with open(tmp_path / "lightning_logs/version_0/metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [
        {"epoch": "0", "late": "", "step": "0", "value": "0.0"},
        {"epoch": "0", "late": "", "step": "1", "value": "1.0"},
        {"epoch": "0", "late": "9.0", "step": "1", "value": ""},
    ]


def test_fast_dev_run_writes_nothing_and_the_writer_still_takes_calls(tmp_path: Path) -> None:
    class Module(Values):
        def on_train_epoch_end(self) -> None:
            self.logger.experiment.add_image("x", None)

    trainer = Trainer(fast_dev_run=True, accelerator="cpu", default_root_dir=tmp_path)
    trainer.fit(Module(), loader(12))
    assert trainer.global_step == 1 and list(tmp_path.iterdir()) == []
