"""Callbacks and the Tuner side by side with the real package: the same numbers, the same weights."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from tests.runtime.models import loader, loss_of, network
from torch import nn

import litify

try:
    import lightning.pytorch as lightning
except Exception as error:  # a broken torchvision beside it stops it in more ways than ImportError
    pytest.skip(f"lightning cannot be imported: {error}", allow_module_level=True)


def module_of(package: ModuleType, batch_norm: bool = False, scheduler: bool = False, lr: float = 0.1) -> Any:
    """The same module under either package, with a backbone, weights from one seed."""

    class Module(package.LightningModule):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(3)
            self.lr = lr
            self.backbone = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8) if batch_norm else nn.Tanh())
            self.head = network()
            self.rates: list[list[float]] = []

        def forward(self, x: Any) -> Any:
            return self.head(self.backbone(x))

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            groups = self.trainer.optimizers[0].param_groups
            self.rates.append([group["lr"] for group in groups])
            return loss_of(self, batch)

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val_loss", loss_of(self, batch))

        def configure_optimizers(self) -> Any:
            trained = [p for p in self.parameters() if p.requires_grad]
            optimizer = torch.optim.SGD(trained, lr=self.lr, momentum=0.9)
            return ([optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]) if scheduler else optimizer

    return Module()


def trained(package: ModuleType, folder: Path, make: Any, **options: Any) -> tuple[Any, Any]:
    """Module and Trainer after a fit with one callback."""
    module = module_of(package, **options.pop("module", {}))
    defaults = {"max_epochs": 5, "logger": False, "enable_checkpointing": False, "accelerator": "cpu"}
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "default_root_dir": folder}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        callback = make(package.callbacks)
        trainer = package.Trainer(**{**defaults, **quiet, **options}, callbacks=[callback])
        torch.manual_seed(11)
        trainer.fit(module, loader(32, 8, shuffle=True), loader(16, 8))
    return module, trainer


def both(folder: Path, make: Any, **options: Any) -> tuple[Any, Any, Any, Any]:
    ours = trained(litify, folder / "ours", make, **dict(options))
    theirs = trained(lightning, folder / "theirs", make, **dict(options))
    return *ours, *theirs


def assert_equal_weights(ours: Any, theirs: Any) -> None:
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value), name


@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize("scheduler", [False, True])
def test_stochastic_weight_averaging(tmp_path: Path, strategy: str, scheduler: bool) -> None:
    def make(callbacks: Any) -> Any:
        return callbacks.StochasticWeightAveraging(0.05, 0.4, annealing_epochs=2, annealing_strategy=strategy)

    ours, _, theirs, _ = both(tmp_path, make, module={"scheduler": scheduler})
    assert ours.rates == theirs.rates
    assert_equal_weights(ours, theirs)


@pytest.mark.parametrize("name", ["WeightAveraging", "EMAWeightAveraging"])
def test_weight_averaging(tmp_path: Path, name: str) -> None:
    options = {"decay": 0.7, "update_every_n_steps": 2} if name.startswith("EMA") else {}
    ours, mine, theirs, other = both(
        tmp_path, lambda callbacks: getattr(callbacks, name)(**options), module={"batch_norm": True}
    )
    assert_equal_weights(ours, theirs)
    assert torch.equal(mine.callback_metrics["val_loss"], other.callback_metrics["val_loss"])


def test_backbone_finetuning(tmp_path: Path) -> None:
    def make(callbacks: Any) -> Any:
        return callbacks.BackboneFinetuning(2, lambda epoch: 1.5)

    ours, _, theirs, _ = both(tmp_path, make, module={"batch_norm": True})
    assert ours.rates == theirs.rates and len(ours.rates[-1]) == 2
    assert_equal_weights(ours, theirs)


def test_gradient_accumulation_scheduler(tmp_path: Path) -> None:
    ours, mine, theirs, other = both(
        tmp_path, lambda callbacks: callbacks.GradientAccumulationScheduler({1: 2, 3: 4})
    )
    assert mine.global_step == other.global_step == 4 + 2 + 2 + 1 + 1
    assert_equal_weights(ours, theirs)


@pytest.mark.parametrize("mode", ["exponential", "linear"])
def test_lr_find(tmp_path: Path, mode: str) -> None:
    from lightning.pytorch.tuner import Tuner as TheirTuner

    from litify.tuner import Tuner

    found = []
    for package, tuner in ((litify, Tuner), (lightning, TheirTuner)):
        module: Any = module_of(package)
        quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer: Any = package.Trainer(
                max_epochs=20, default_root_dir=tmp_path, accelerator="cpu", **quiet
            )
            torch.manual_seed(11)
            # No shuffling: the real package draws once more for the loaders before the search.
            answer: Any = tuner(trainer).lr_find(module, loader(32, 8), num_training=40, mode=mode)
        found.append((answer.results["lr"], answer.results["loss"], answer.suggestion(), module.lr))
    (our_lrs, our_losses, ours, set_by_us), (their_lrs, their_losses, theirs, _) = found
    assert our_lrs == pytest.approx(their_lrs[: len(our_lrs)])
    assert our_losses == pytest.approx(their_losses[: len(our_losses)], rel=0.2)  # dropout draws differ
    assert ours == set_by_us and ours is not None and theirs is not None
