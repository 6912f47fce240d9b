"""Weight averaging: what validation sees, what checkpoints hold, that a resumed training ends as one that never stopped."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.runtime.models import Classifier, Validated, assert_same_weights, loader, quiet, weights
from torch import nn

from litify import Callback, MisconfigurationException
from litify.callbacks import EMAWeightAveraging, StochasticWeightAveraging, WeightAveraging


class Normed(Classifier):
    """Has a batch norm."""

    def __init__(self) -> None:
        super().__init__(dropout=0.0)
        self.norm = nn.BatchNorm1d(8)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return super().training_step((self.norm(batch[0]), batch[1]), batch_idx)


class Snapshots(Callback):
    """Weights after each step, and in each validation."""

    def __init__(self) -> None:
        self.steps: list[dict[str, torch.Tensor]] = []
        self.validations: list[dict[str, torch.Tensor]] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *rest: Any) -> None:
        self.steps.append(weights(pl_module))

    def on_validation_batch_end(self, trainer: Any, pl_module: Any, *rest: Any) -> None:
        if not trainer.sanity_checking:
            self.validations.append(weights(pl_module))


def test_validation_and_result_use_the_mean_of_all_steps(tmp_path: Path) -> None:
    module, seen = Validated(), Snapshots()
    quiet(tmp_path, callbacks=[WeightAveraging(), seen]).fit(module, loader(), loader(4))
    for name, value in weights(module).items():
        mean = torch.stack([step[name] for step in seen.steps]).mean(0)
        assert torch.allclose(value, mean, atol=1e-6) and torch.equal(value, seen.validations[-1][name])
        assert not torch.equal(value, seen.steps[-1][name])


def test_ema_follows_its_plan() -> None:
    callback = EMAWeightAveraging(
        update_every_n_steps=5, update_starting_at_step=10, update_starting_at_epoch=2
    )
    assert [step for step in range(21) if callback.should_update(step_idx=step)] == [10, 15, 20]
    assert [epoch for epoch in range(4) if callback.should_update(epoch_idx=epoch)] == [2, 3]


@pytest.mark.parametrize(
    "make",
    [
        lambda: EMAWeightAveraging(decay=0.8),
        lambda: StochasticWeightAveraging(0.05, 2, annealing_epochs=2),
    ],
    ids=["ema", "swa"],
)
@pytest.mark.parametrize("stop", [1, 3])
def test_a_resumed_average_is_that_of_a_training_that_never_stopped(
    tmp_path: Path, make: Any, stop: int
) -> None:
    torch.manual_seed(2)
    whole: Any = Normed()
    other = copy.deepcopy(whole)
    torch.manual_seed(8)
    quiet(tmp_path, callbacks=[make()], max_epochs=4).fit(whole, loader(shuffle=True))
    torch.manual_seed(8)

    class Stop(Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            if trainer.current_epoch + 1 == stop:
                trainer.save_checkpoint(tmp_path / "stopped.ckpt")
                raise KeyError("stopped")

    with pytest.raises(KeyError, match="stopped"):
        quiet(tmp_path, callbacks=[make(), Stop()], max_epochs=4).fit(other, loader(shuffle=True))
    resumed = Normed()
    quiet(tmp_path, callbacks=[make()], max_epochs=4).fit(
        resumed, loader(shuffle=True), ckpt_path=tmp_path / "stopped.ckpt"
    )
    assert_same_weights(resumed, whole)


def test_checkpoints_hold_the_averages_and_the_weights_in_training(tmp_path: Path) -> None:
    module, seen = Validated(), Snapshots()
    kept: dict[str, Any] = {}

    class Keep(Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            trainer.save_checkpoint(tmp_path / "kept.ckpt")

    trainer = quiet(tmp_path, callbacks=[WeightAveraging(), seen, Keep()], max_epochs=1)
    trainer.fit(module, loader(), loader(4))
    kept = torch.load(tmp_path / "kept.ckpt", weights_only=True)
    name = "net.0.weight"
    assert torch.equal(kept["current_model_state"][name], seen.steps[-1][name])
    assert torch.equal(kept["state_dict"][name], weights(module)[name])
    assert kept["averaging_state"] == {"n_averaged": torch.tensor(10)}
    plain = Validated()
    with pytest.warns(UserWarning, match="written without WeightAveraging"):
        quiet(tmp_path).strategy.setup_module(plain, training=False)
        first = quiet(tmp_path, max_epochs=1)
        first.fit(plain, loader())
        first.save_checkpoint(tmp_path / "plain.ckpt")
        quiet(tmp_path, callbacks=[WeightAveraging()]).fit(plain, loader(), ckpt_path=tmp_path / "plain.ckpt")


def test_a_failed_validation_leaves_the_weights_in_training(tmp_path: Path) -> None:
    class Failing(Validated):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            if not self.trainer.sanity_checking:
                raise ZeroDivisionError

    module, seen = Failing(), Snapshots()
    with pytest.raises(ZeroDivisionError):
        quiet(tmp_path, callbacks=[WeightAveraging(), seen]).fit(module, loader(), loader(4))
    assert all(torch.equal(value, seen.steps[-1][name]) for name, value in weights(module).items())


def test_batch_norms_get_statistics_of_the_averaged_weights(tmp_path: Path) -> None:
    module = Normed()
    trainer = quiet(tmp_path, callbacks=[StochasticWeightAveraging(0.05, 1)], max_epochs=3)
    trainer.fit(module, loader())
    inputs = torch.cat([x for x, _ in loader()])
    assert torch.allclose(module.norm.running_mean, inputs.mean(0), atol=1e-5)  # type: ignore[arg-type]
    assert module.norm.momentum == 0.1 and trainer.global_step == 30 and trainer.current_epoch == 3


def test_swa_refuses_what_makes_no_sense(tmp_path: Path) -> None:
    class Two(Classifier):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def configure_optimizers(self) -> Any:
            return [torch.optim.SGD(self.parameters(), 0.1), torch.optim.Adam(self.parameters())]

    for arguments in ({"swa_epoch_start": 0}, {"swa_epoch_start": 1.5}, {"avg_fn": 3}, {"device": 3}):
        with pytest.raises(MisconfigurationException, match=next(iter(arguments))):
            StochasticWeightAveraging(0.1, **arguments)  # type: ignore[arg-type]
    for rates in (0.0, 1, [0.2, -0.1]):
        with pytest.raises(MisconfigurationException, match="above 0"):
            StochasticWeightAveraging(rates)  # type: ignore[arg-type]
    with pytest.raises(MisconfigurationException, match="one optimizer"):
        quiet(tmp_path, callbacks=[StochasticWeightAveraging(0.1)]).fit(Two(), loader())
    with pytest.raises(MisconfigurationException, match="has no end"):
        quiet(tmp_path, callbacks=[StochasticWeightAveraging(0.1)], max_epochs=-1).fit(Classifier(), loader())
