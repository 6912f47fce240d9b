"""Tuner, LearningRateFinder, BatchSizeFinder: what they find, and that they leave no trace."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.runtime.models import Classifier, Validated, assert_same_weights, dataset, loader, quiet
from torch.utils.data import DataLoader

from litify import LightningDataModule, MisconfigurationException
from litify.attribute import lightning_getattr, lightning_hasattr, lightning_setattr
from litify.callbacks import BatchSizeFinder, EarlyStopping, LearningRateFinder
from litify.callbacks.lr_finder import LRFinder
from litify.tuner import Tuner


class Sized(Validated):
    """Makes its loaders by `batch_size`, and runs out of memory at `limit`."""

    def __init__(self, batch_size: int = 2, limit: int = 10**9) -> None:
        super().__init__()
        self.batch_size, self.limit = batch_size, limit
        self.tried: list[int] = []

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.tried.append(len(batch[0]))
        if len(batch[0]) >= self.limit:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().training_step(batch, batch_idx)

    def train_dataloader(self) -> Any:
        return DataLoader(dataset(200), self.batch_size)

    val_dataloader = test_dataloader = predict_dataloader = train_dataloader

    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        return self.net(batch[0])


def test_lr_find_leaves_everything_as_it_was(tmp_path: Path) -> None:
    module = Validated(lr=0.1)
    before = copy.deepcopy(module)
    stopper = EarlyStopping("val_loss")
    trainer = quiet(tmp_path, callbacks=[stopper], max_epochs=3)
    torch.manual_seed(1)
    random = torch.get_rng_state()
    found = Tuner(trainer).lr_find(module, loader(200), loader(20), num_training=60)
    assert found is not None and len(found.results["lr"]) == len(found.results["loss"]) > 10
    assert module.hparams.lr == found.suggestion()
    assert_same_weights(module, before)
    assert torch.equal(torch.get_rng_state(), random)
    assert trainer.global_step == trainer.current_epoch == 0 and not trainer.should_stop
    assert trainer.max_steps == -1 and trainer.callbacks == [stopper] and trainer.state.finished
    trainer.fit(module, loader(20), loader(20))
    assert trainer.global_step == 15


def test_fit_with_a_finder_ends_as_one_at_the_rate_found(tmp_path: Path) -> None:
    finder = LearningRateFinder(num_training_steps=50, early_stop_threshold=None)
    torch.manual_seed(5)
    module = Classifier(lr=1e-4)
    other = copy.deepcopy(module)
    torch.manual_seed(6)
    quiet(tmp_path, callbacks=[finder]).fit(module, loader(200, shuffle=True))
    other.hparams.lr = module.hparams.lr
    assert other.hparams.lr != 1e-4
    torch.manual_seed(6)
    quiet(tmp_path).fit(other, loader(200, shuffle=True))
    assert_same_weights(module, other)


def test_the_rate_found_is_the_base_of_schedules(tmp_path: Path) -> None:
    class Scheduled(Classifier):
        def configure_optimizers(self) -> Any:
            optimizer = super().configure_optimizers()
            return [optimizer], [torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5**epoch)]

    module = Scheduled(lr=1e-4)
    trainer = quiet(tmp_path, callbacks=[LearningRateFinder(num_training_steps=50)], max_epochs=1)
    trainer.fit(module, loader(200))
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(module.hparams.lr / 2)


def test_the_finder_runs_again_in_later_epochs(tmp_path: Path) -> None:
    class Again(LearningRateFinder):
        found: list[Any] = []

        def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
            pass

        def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
            if trainer.current_epoch == 1:
                self.lr_find(trainer, pl_module)
                self.found.append(self.optimal_lr)

    callback = Again(num_training_steps=20, update_attr=False)
    module, plain = Classifier(), Classifier()
    plain.load_state_dict(module.state_dict())
    for each, callbacks in ((module, [callback]), (plain, [])):
        torch.manual_seed(3)
        quiet(tmp_path, callbacks=callbacks, max_epochs=3).fit(each, loader(40, shuffle=True))
    assert len(callback.found[0].results["lr"]) == 20
    assert_same_weights(module, plain)


def test_lr_find_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    class Two(Classifier):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def configure_optimizers(self) -> Any:
            return [torch.optim.SGD(self.parameters(), 0.1), torch.optim.Adam(self.parameters())]

    class Rateless(Classifier):
        def __init__(self) -> None:
            super().__init__()
            del self.hparams["lr"]

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.1)

    trainer = quiet(tmp_path)
    with pytest.raises(MisconfigurationException, match="works with one optimizer"):
        Tuner(trainer).lr_find(Two(), loader())
    with pytest.raises(AttributeError, match="pass attr_name= or update_attr=False"):
        Tuner(trainer).lr_find(Rateless(), loader())
    with pytest.raises(ValueError, match="pass 'exponential' or 'linear'"):
        LearningRateFinder(mode="steps")
    with pytest.raises(MisconfigurationException, match="only 'fit' has a learning rate"):
        Tuner(trainer).lr_find(Classifier(), method="test")
    with pytest.raises(ValueError, match="has a LearningRateFinder already"):
        Tuner(quiet(tmp_path, callbacks=[LearningRateFinder()])).lr_find(Classifier(), loader())
    with pytest.warns(UserWarning, match="learning rate finder is skipped"):
        assert Tuner(quiet(tmp_path, fast_dev_run=True)).lr_find(Classifier(), loader()) is None


def test_an_error_in_the_search_is_raised_and_undone(tmp_path: Path) -> None:
    class Failing(Classifier):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if batch_idx == 3:
                raise ZeroDivisionError("in training_step")
            return super().training_step(batch, batch_idx)

    module = Failing()
    before = copy.deepcopy(module)
    trainer = quiet(tmp_path)
    with pytest.raises(ZeroDivisionError, match="in training_step"):
        Tuner(trainer).lr_find(module, loader())
    assert_same_weights(module, before)
    assert trainer.callbacks == [] and trainer.max_steps == -1


def test_suggestion_and_plot() -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    finder = LRFinder("exponential", 1e-8, 1.0, 100)
    rates = torch.linspace(0, 2 * torch.pi, 1000)
    finder.results = {"lr": rates.tolist(), "loss": torch.sin(rates).tolist()}
    assert finder.suggestion() == pytest.approx(torch.pi, abs=0.01)
    figure = finder.plot(suggest=True)
    assert len(figure.axes[0].lines) == 2 and figure.axes[0].get_xscale() == "log"
    finder.results = {"lr": [0.1, 0.2], "loss": [1.0, float("nan")]}
    with pytest.warns(UserWarning, match="raise num_training"):
        assert finder.suggestion(0, 0) is None


@pytest.mark.parametrize(
    ("mode", "init", "trials", "limit", "expected"),
    [
        ("power", 2, 3, 10**9, 8),  # 2, 4, 8
        ("power", 2, 25, 10**9, 256),  # all 200 samples in a batch
        ("power", 2, 25, 20, 16),
        ("power", 50, 25, 20, 12),  # 50 and 25 fail
        ("power", 4, 0, 10**9, 4),
        ("binsearch", 2, 25, 20, 18),  # 19 works; 5 % off
        ("binsearch", 2, 3, 10**9, 7),
    ],
)
def test_scale_batch_size(
    tmp_path: Path, mode: str, init: int, trials: int, limit: int, expected: int
) -> None:
    module = Sized(limit=limit)
    before = copy.deepcopy(module)
    trainer = quiet(tmp_path)
    size = Tuner(trainer).scale_batch_size(module, mode=mode, init_val=init, max_trials=trials)
    assert size == module.batch_size == trainer.train_dataloader.batch_size == expected
    assert_same_weights(module, before)
    assert trainer.global_step == 0 and trainer.limit_train_batches == 1.0 and trainer.state.finished


def test_a_size_of_one_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="out of memory"):
        Tuner(quiet(tmp_path)).scale_batch_size(Sized(limit=1))


def test_other_errors_are_raised(tmp_path: Path) -> None:
    class Failing(Sized):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        Tuner(quiet(tmp_path)).scale_batch_size(Failing())


@pytest.mark.parametrize("method", ["validate", "test", "predict"])
def test_evaluation_goes_on_with_the_size_found(tmp_path: Path, method: str) -> None:
    module = Sized()
    trainer = quiet(tmp_path, callbacks=[BatchSizeFinder(max_trials=3)])
    answer = getattr(trainer, method)(module)
    assert module.batch_size == 8
    if method == "predict":
        assert [len(batch) for batch in answer] == [8] * 25
    else:
        plain: Any = Sized(8)
        plain.load_state_dict(module.state_dict())
        assert getattr(quiet(tmp_path), method)(plain)[0] == pytest.approx(answer[0])


def test_fit_goes_on_with_the_size_found(tmp_path: Path) -> None:
    module = Sized()
    trainer = quiet(tmp_path, callbacks=[BatchSizeFinder(max_trials=4)])
    trainer.fit(module)
    assert module.batch_size == 16
    assert trainer.global_step == 2 * 13 and module.tried[-2:] == [16, 8]


def test_the_size_may_live_in_a_data_module(tmp_path: Path) -> None:
    class Data(LightningDataModule):
        def __init__(self, batch_size: int = 2) -> None:
            super().__init__()
            self.save_hyperparameters()

        def train_dataloader(self) -> Any:
            return DataLoader(dataset(), self.hparams.batch_size)

    data = Data()
    assert Tuner(quiet(tmp_path)).scale_batch_size(Classifier(), datamodule=data, max_trials=2) == 4
    assert data.hparams.batch_size == 4


def test_each_size_that_is_tried_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert Tuner(quiet(tmp_path)).scale_batch_size(Sized(limit=7), init_val=2) == 4
    assert capsys.readouterr().err.splitlines() == [
        "litify: batch_size 2 fits, trying batch size 4",
        "litify: batch_size 4 fits, trying batch size 8",
        "litify: batch_size 4",
    ]


def test_a_size_that_takes_all_samples_is_the_last(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Tuner(quiet(tmp_path)).scale_batch_size(Sized(), init_val=200) == 200
    assert capsys.readouterr().err.splitlines() == [
        "litify: batch_size 200 takes all 200 samples at once",
        "litify: batch_size 200",
    ]


def test_scale_batch_size_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    trainer = quiet(tmp_path)
    with pytest.raises(MisconfigurationException, match="cannot change loaders that were passed in"):
        Tuner(trainer).scale_batch_size(Sized(), loader())
    with pytest.raises(MisconfigurationException, match="has it"):
        Tuner(trainer).scale_batch_size(Sized(), batch_arg_name="size")
    with pytest.raises(MisconfigurationException, match="pass dataloaders="):
        Tuner(trainer).scale_batch_size(Sized(), loader(), method="validate")
    with pytest.raises(MisconfigurationException, match="in place of dataloaders="):
        Tuner(trainer).scale_batch_size(Sized(), dataloaders=loader())
    with pytest.raises(ValueError, match="pass one of fit, validate, test, predict"):
        Tuner(trainer).scale_batch_size(Sized(), method="prediction")
    with pytest.raises(ValueError, match="pass 'power' or 'binsearch'"):
        BatchSizeFinder(mode="half")
    with pytest.raises(ValueError, match="a share from 0"):
        BatchSizeFinder(margin=1.0)


def test_attributes_are_found_wherever_they_live() -> None:
    class Data(LightningDataModule):
        def __init__(self, width: int = 3) -> None:
            super().__init__()
            self.save_hyperparameters()

    module = Classifier(lr=0.5)
    assert lightning_getattr(module, "lr") == 0.5 and not lightning_hasattr(module, "width")
    trainer = quiet()
    trainer.datamodule = Data()
    module.trainer = trainer
    lightning_setattr(module, "width", 4)
    assert trainer.datamodule.hparams.width == lightning_getattr(module, "width") == 4
    with pytest.raises(AttributeError, match="set it in __init__"):
        lightning_getattr(module, "depth")
