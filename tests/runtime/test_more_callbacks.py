"""Smaller callbacks: accumulation by schedule, predictions to files, device statistics, throughput, checkpoints on failure."""

from __future__ import annotations

import copy
import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.runtime.models import Classifier, Validated, assert_same_weights, dataset, loader, loss_of, quiet
from torch import nn
from torch.utils.data import DataLoader

from litify import Callback, MisconfigurationException
from litify.callbacks import (
    BasePredictionWriter,
    DeviceStatsMonitor,
    GradientAccumulationScheduler,
    OnExceptionCheckpoint,
    ThroughputMonitor,
)
from litify.loggers import CSVLogger
from litify.utilities import measure_flops
from litify.utilities.throughput import Throughput

# -- GradientAccumulationScheduler ----------------------------------------------------------------------------------------


def test_accumulation_follows_the_schedule(tmp_path: Path) -> None:
    module = Classifier(dropout=0.0)
    other = copy.deepcopy(module)
    trainer = quiet(tmp_path, callbacks=[GradientAccumulationScheduler({1: 4})])
    trainer.fit(module, loader(20))
    optimizer = torch.optim.SGD(other.parameters(), lr=0.1, momentum=0.9)
    for window in (1, 4):
        batches = list(loader(20))
        for first in range(0, len(batches), window):
            group = batches[first : first + window]
            optimizer.zero_grad()
            for batch in group:
                (loss_of(other.net, batch) / len(group)).backward()
            optimizer.step()
    assert trainer.global_step == 5 + 2
    assert_same_weights(module, other)


def test_a_resumed_epoch_accumulates_as_before(tmp_path: Path) -> None:
    class Stop(Callback):
        def on_train_batch_end(self, trainer: Any, *rest: Any) -> None:
            if trainer.current_epoch == 1 and trainer.state.batch_idx == 4:
                trainer.save_checkpoint(tmp_path / "stopped.ckpt")
                raise KeyError

    whole = Classifier()
    other = copy.deepcopy(whole)
    schedule = {0: 2, 1: 3}
    torch.manual_seed(1)
    quiet(tmp_path, callbacks=[GradientAccumulationScheduler(schedule)]).fit(whole, loader())
    torch.manual_seed(1)
    with pytest.raises(KeyError):
        quiet(tmp_path, callbacks=[GradientAccumulationScheduler(schedule), Stop()]).fit(other, loader())
    resumed = Classifier()
    trainer = quiet(tmp_path, callbacks=[GradientAccumulationScheduler(schedule)])
    trainer.fit(resumed, loader(), ckpt_path=tmp_path / "stopped.ckpt")
    assert trainer.global_step == 5 + 4


def test_schedules_of_accumulation_are_checked(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="say what to schedule"):
        GradientAccumulationScheduler({})
    for schedule in ({-3: 4}, {"2": 1}):
        with pytest.raises(MisconfigurationException, match="epochs are whole numbers"):
            GradientAccumulationScheduler(schedule)  # type: ignore[arg-type]
    for schedule in ({1: 0}, {1: "2"}):
        with pytest.raises(MisconfigurationException, match="batches per step"):
            GradientAccumulationScheduler(schedule)  # type: ignore[arg-type,dict-item]
    with pytest.raises(ValueError, match="leave one of them out"):
        quiet(tmp_path, accumulate_grad_batches=2, callbacks=[GradientAccumulationScheduler({0: 2})]).fit(
            Classifier(), loader()
        )


# -- BasePredictionWriter -------------------------------------------------------------------------------------------------


class Writer(BasePredictionWriter):
    def __init__(self, interval: str) -> None:
        super().__init__(interval)
        self.batches: list[Any] = []
        self.epoch: Any = None

    def write_on_batch_end(
        self, trainer: Any, pl_module: Any, prediction: Any, batch_indices: Any, *rest: Any
    ) -> None:
        self.batches.append((batch_indices, len(prediction)))

    def write_on_epoch_end(self, trainer: Any, pl_module: Any, predictions: Any, batch_indices: Any) -> None:
        self.epoch = (predictions, batch_indices)


class Predicting(Classifier):
    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        return self.net(batch[0])


@pytest.mark.parametrize("workers", [0, 2])
def test_predictions_come_with_their_indices(tmp_path: Path, workers: int) -> None:
    writer = Writer("batch_and_epoch")
    given = DataLoader(dataset(10), 4, num_workers=workers)
    found = quiet(tmp_path, callbacks=[writer]).predict(Predicting(), given)
    indices = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert writer.batches == [(batch, len(batch)) for batch in indices]
    assert writer.epoch[1] == [indices]
    assert all(torch.equal(a, b) for a, b in zip(writer.epoch[0], found or [], strict=True))
    assert type(given.batch_sampler).__name__ == "BatchSampler"  # the user's loader is left alone


def test_indices_of_a_shuffling_loader_are_those_that_were_drawn(tmp_path: Path) -> None:
    class Echo(Classifier):
        def predict_step(self, batch: Any, batch_idx: int) -> Any:
            return batch[0]

    writer = Writer("epoch")
    with pytest.warns(UserWarning, match="shuffles"):
        quiet(tmp_path, callbacks=[writer]).predict(
            Echo(), loader(10, shuffle=True), return_predictions=False
        )
    data = dataset(10)
    for batch, indices in zip(writer.epoch[0], writer.epoch[1][0], strict=True):
        assert torch.equal(batch, torch.stack([data[index][0] for index in indices]))
    assert writer.batches == []


def test_predictions_of_several_loaders(tmp_path: Path) -> None:
    writer = Writer("epoch")

    class Several(Classifier):
        def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int) -> Any:
            return dataloader_idx

    quiet(tmp_path, callbacks=[writer]).predict(Several(), [loader(4), [torch.zeros(1)]])
    assert writer.epoch == ([[0], [1]], [[[0, 1, 2, 3]], [None]])
    with pytest.raises(MisconfigurationException, match="pass one of 'batch', 'epoch'"):
        Writer("step")


# -- DeviceStatsMonitor ---------------------------------------------------------------------------------------------------


def rows(folder: Path) -> list[dict[str, str]]:
    with open(next(folder.rglob("metrics.csv")), newline="") as file:
        return list(csv.DictReader(file))


def test_statistics_of_the_cpu_are_logged(tmp_path: Path) -> None:
    pytest.importorskip("psutil")
    monitor = DeviceStatsMonitor(filter_keys={"cpu_percent", "cpu_vm_percent"})
    trainer = quiet(
        tmp_path, callbacks=[monitor], logger=CSVLogger(tmp_path), log_every_n_steps=5, max_epochs=1
    )
    trainer.fit(Classifier(), loader())
    found = rows(tmp_path)
    assert {name for row in found for name in row} == {
        "step",
        *(
            f"DeviceStatsMonitor.on_train_batch_{w}/cpu_{k}"
            for w in ("start", "end")
            for k in ("percent", "vm_percent")
        ),
    }
    assert [row["step"] for row in found] == ["4", "4", "9", "9"]


def test_device_statistics_need_a_logger_and_known_names(tmp_path: Path) -> None:
    with pytest.raises(MisconfigurationException, match="has no logger"):
        quiet(tmp_path, callbacks=[DeviceStatsMonitor()]).fit(Classifier(), loader())
    monitor = DeviceStatsMonitor(cpu_stats=False, filter_keys={"cpu_percent"})
    with pytest.warns(UserWarning, match="this device has no cpu_percent"):
        quiet(tmp_path, callbacks=[monitor], logger=CSVLogger(tmp_path)).fit(Classifier(), loader())


# -- ThroughputMonitor ----------------------------------------------------------------------------------------------------


def test_throughput_is_logged(tmp_path: Path) -> None:
    class Counted(Validated):
        flops_per_batch = 1000

    monitor = ThroughputMonitor(lambda batch: len(batch[0]), lambda batch: batch[0].numel(), window_size=4)
    trainer = quiet(
        tmp_path, callbacks=[monitor], logger=CSVLogger(tmp_path), log_every_n_steps=2, max_epochs=1
    )
    trainer.fit(Counted(), loader(), loader())
    training = [row for row in rows(tmp_path) if row.get("train/batches")]
    assert [row["train/samples"] for row in training] == ["8", "16", "24", "32", "40"]
    assert [row["train/lengths"] for row in training][:2] == ["64", "128"]
    assert training[0]["train/device/samples_per_sec"] == "" and not monitor.available_flops
    last = training[-1]
    assert float(last["train/device/samples_per_sec"]) == pytest.approx(
        4 * float(last["train/device/batches_per_sec"])
    )
    assert float(last["train/device/flops_per_sec"]) == pytest.approx(
        1000 * float(last["train/device/batches_per_sec"])
    )


def test_throughput_counts_on_over_several_passes(tmp_path: Path) -> None:
    class Predicting(Validated):
        def predict_step(self, batch: Any) -> Any:
            return self.net(batch[0])

    monitor = ThroughputMonitor(lambda batch: len(batch[0]), window_size=2)
    trainer = quiet(tmp_path, callbacks=[monitor], logger=CSVLogger(tmp_path), log_every_n_steps=3)
    module = Predicting()
    for _ in range(2):
        trainer.validate(module, loader(28), verbose=False)
        trainer.predict(module, loader(28))
    for stage in ("validate", "predict"):
        batches = [row[f"{stage}/batches"] for row in rows(tmp_path)]
        assert [int(number) for number in batches if number] == [3, 6, 7 + 3, 7 + 6]


def test_throughput_of_validation_within_fit(tmp_path: Path) -> None:
    monitor = ThroughputMonitor(lambda batch: len(batch[0]), window_size=2)
    trainer = quiet(tmp_path, callbacks=[monitor], logger=CSVLogger(tmp_path), log_every_n_steps=4)
    trainer.fit(Validated(), loader(), loader(36))
    found = [(row["step"], row["validate/batches"]) for row in rows(tmp_path) if row.get("validate/batches")]
    assert found == [("4", "4"), ("8", "8"), ("13", "4"), ("17", "8")]


def test_throughput_is_that_of_whole_windows_of_accumulation(tmp_path: Path) -> None:
    monitor = ThroughputMonitor(lambda batch: len(batch[0]))
    trainer = quiet(
        tmp_path,
        callbacks=[monitor],
        logger=CSVLogger(tmp_path),
        log_every_n_steps=1,
        max_epochs=1,
        accumulate_grad_batches=4,
    )
    trainer.fit(Classifier(), loader())
    assert [row["train/batches"] for row in rows(tmp_path) if row.get("train/batches")] == ["4", "8", "10"]


def test_rates_are_those_of_the_window() -> None:
    throughput = Throughput(available_flops=50, world_size=2, window_size=3, separator="|")
    assert throughput.compute() == {}
    for step in range(1, 6):
        throughput.update(time=step / 2, batches=step, samples=3 * step, lengths=6 * step, flops=10)
    assert throughput.compute() == {
        "time": 2.5, "batches": 5, "samples": 15, "lengths": 30,
        "batches_per_sec": 4, "samples_per_sec": 12, "items_per_sec": 24, "flops_per_sec": 40,
        "device|batches_per_sec": 2, "device|samples_per_sec": 6, "device|items_per_sec": 12,
        "device|flops_per_sec": 20, "device|mfu": 0.4,
    }  # fmt: skip
    with pytest.raises(ValueError, match="batches did not grow"):
        throughput.update(time=3, batches=5, samples=18, lengths=36)
    with pytest.raises(ValueError, match="2 steps or more"):
        Throughput(window_size=1)


def test_flops_are_counted_on_the_meta_device() -> None:
    with torch.device("meta"):
        model = nn.Linear(32, 2)
        x = torch.randn(4, 32)
    forward = measure_flops(model, lambda: model(x))
    assert forward == 2 * 4 * 32 * 2
    assert measure_flops(model, lambda: model(x), lambda y: y.sum()) == 2 * forward


# -- OnExceptionCheckpoint ------------------------------------------------------------------------------------------------


def test_a_failed_training_leaves_a_checkpoint(tmp_path: Path) -> None:
    class Failing(Classifier):
        fails = True

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if self.fails and self.trainer.global_step == 13:
                raise ZeroDivisionError
            return super().training_step(batch, batch_idx)

    callback = OnExceptionCheckpoint(tmp_path, "failed")
    with pytest.raises(ZeroDivisionError):
        quiet(tmp_path, callbacks=[callback], enable_checkpointing=None).fit(Failing(), loader())
    assert torch.load(tmp_path / "failed.ckpt", weights_only=True)["global_step"] == 13
    well = Failing()
    well.fails = False
    trainer = quiet(tmp_path, callbacks=[callback], enable_checkpointing=None)
    trainer.fit(well, loader(), ckpt_path=callback.ckpt_path)
    assert trainer.global_step == 20 and not (tmp_path / "failed.ckpt").exists()
    with pytest.raises(ValueError, match="pass a name"):
        OnExceptionCheckpoint(tmp_path, "")
