"""What the Trainer and its modules tell: warnings, refusals, descriptions, exports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.runtime.models import WIDTH, Classifier, loader, quiet

from litify import LightningDataModule, Trainer
from litify.loggers import CSVLogger
from litify.optim import LightningOptimizer
from litify.strategies import SingleDeviceStrategy


def test_environment_variables_stand_in_for_arguments_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_TRAINER_MAX_STEPS", "7")
    monkeypatch.setenv("PL_TRAINER_LOGGER", "False")
    monkeypatch.setenv("PL_TRAINER_ACCELERATOR", "cpu")
    trainer = Trainer()
    assert trainer.max_steps == 7 and trainer.logger is None and trainer.accelerator.name == "cpu"
    assert Trainer(max_steps=3).max_steps == 3


def test_logging_to_no_logger_is_said() -> None:
    class Module(Classifier):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.log("there", 1.0, logger=True)
            return super().training_step(batch, batch_idx)

    with pytest.warns(UserWarning, match=r"self.log\('there', logger=True\): the Trainer has no logger"):
        quiet().fit(Module(), loader(8))


def test_few_batches_and_a_long_logging_interval_are_said(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"2 batches, fewer than Trainer\(log_every_n_steps=50\)"):
        quiet(logger=CSVLogger(tmp_path)).fit(Classifier(), loader(8))


def test_what_one_means_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    quiet()
    assert not capsys.readouterr().err
    quiet(val_check_interval=1, limit_train_batches=1)
    assert capsys.readouterr().err.splitlines() == [
        "litify: Trainer(val_check_interval=1) validates after each batch",
        "litify: Trainer(limit_train_batches=1) takes 1 batch",
    ]
    quiet(val_check_interval=1.0, overfit_batches=1.0)
    assert capsys.readouterr().err.splitlines() == [
        "litify: Trainer(val_check_interval=1.0) validates after each epoch",
        "litify: Trainer(overfit_batches=1.0) takes all batches",
    ]


def test_batches_without_a_prediction_are_said() -> None:
    class Module(Classifier):
        def predict_step(self, batch: Any, batch_idx: int) -> Any:
            return None if batch_idx else self.net(batch[0])

    with pytest.warns(UserWarning, match="Module.predict_step returned None for some batches"):
        assert quiet().predict(Module(), loader(8))[1] is None


def test_modules_in_eval_mode_are_said_and_stay_so() -> None:
    module = Classifier()
    module.net.eval()
    with pytest.warns(UserWarning, match=r"5 module\(s\) are in eval mode"):
        quiet().fit(module, loader(8))
    assert not module.net.training


def test_torchscript_by_script_and_by_trace() -> None:
    class Module(Classifier):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(x)

    module, x = Module(), torch.randn(2, WIDTH)
    for method in ("script", "trace"):
        made = module.to_torchscript(method=method, example_inputs=x)
        assert torch.equal(made(x), module.eval()(x))
        module.train()
    with pytest.raises(ValueError, match="needs an input"):
        module.to_torchscript(method="trace")


def test_a_data_module_tells_how_many_samples_it_has() -> None:
    class Data(LightningDataModule):
        def train_dataloader(self) -> Any:
            return loader(20)

        def val_dataloader(self) -> Any:
            return [loader(8), loader(4)]

    lines = str(Data()).splitlines()
    assert (
        lines[0] == "{Train dataloader: size=20}"
        and lines[1] == "{Validation dataloader: 1. size=8 ; 2. size=4}"
    )
    assert lines[2] == "{Test dataloader: None}"


def test_a_batch_without_a_loss_in_one_of_several_processes_is_refused() -> None:
    class Strategy(SingleDeviceStrategy):
        world_size = 2

    class Module(Classifier):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return None

    with pytest.raises(RuntimeError, match="returned None in one of 2 processes"):
        quiet(strategy=Strategy()).fit(Module(), loader(8))


def test_optimizers_of_manual_optimization_follow_their_originals() -> None:
    """A learning rate read or set through `self.optimizers()` is that of the optimizer, also after a checkpoint was loaded into it."""

    class Module(Classifier):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> None:
            optimizer = self.optimizers()
            original = optimizer.optimizer
            original.load_state_dict(original.state_dict())  # replaces the groups
            optimizer.param_groups[0]["lr"] = 0.5
            assert original.param_groups[0]["lr"] == 0.5
            other = self.net[0].weight
            with optimizer.toggle_model():
                assert other.requires_grad

    quiet(max_epochs=1).fit(Module(), loader(8))
    with (
        pytest.raises(RuntimeError, match="during fit"),
        LightningOptimizer(torch.optim.SGD(Classifier().parameters(), 0.1)).toggle_model(),
    ):
        pass


def test_metric_objects_logged_by_step_start_anew_each_epoch() -> None:
    class Count:
        """What the Trainer needs of a metric: update, compute, reset, and the value of the latest forward."""

        def __init__(self) -> None:
            self.total, self._forward_cache = 0, torch.tensor(0.0)

        def update(self) -> None:
            self.total += 1
            self._forward_cache = torch.tensor(1.0)

        def compute(self) -> torch.Tensor:
            return torch.tensor(float(self.total))

        def reset(self) -> None:
            self.total = 0

    counts: list[int] = []

    class Module(Classifier):
        count = Count()

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.count.update()
            self.log("count", self.count)
            return super().training_step(batch, batch_idx)

        def on_train_epoch_end(self) -> None:
            counts.append(self.count.total)

    quiet(max_epochs=2).fit(Module(), loader(8))
    assert counts == [2, 2]
