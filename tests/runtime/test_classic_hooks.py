"""Hooks, outputs and several optimizers as Lightning 0.7 to 1.x had them."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.runtime.models import (
    Classifier,
    assert_same_weights,
    loader,
    loss_of,
    quiet,
    weights,
)
from torch import nn

from litify import Callback, LightningModule
from litify.callbacks import (
    EarlyStopping,
    ModelCheckpoint,
)
from litify.classic import hints


@pytest.fixture(autouse=True)
def hints_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test hears its hints, and none of another test's."""
    monkeypatch.setattr(hints, "_said", set())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# -- outputs and dictionaries ----------------------------------------------------------------------------


class Dictionaries(Classifier):
    """Returns results as 0.7 had them."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = loss_of(self.net, batch)
        return {"loss": loss, "log": {"train_loss": loss}, "progress_bar": {"bar_loss": loss}}

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        return {"val_loss": loss_of(self.net, batch)}

    def validation_end(self, outputs: Any) -> Any:
        mean = torch.stack([output["val_loss"] for output in outputs]).mean()
        self.seen = len(outputs)
        return {"val_loss": mean, "log": {"logged_val_loss": mean}}

    def test_step(self, batch: Any, batch_idx: int) -> Any:
        return {"test_loss": loss_of(self.net, batch)}

    def test_epoch_end(self, outputs: Any) -> Any:
        return {"log": {"test_loss": torch.stack([output["test_loss"] for output in outputs]).mean()}}


def test_dictionaries_are_logged(tmp_path: Path) -> None:
    module = Dictionaries()
    saver = ModelCheckpoint(tmp_path / "saved", monitor="val_loss")
    trainer = quiet(tmp_path, callbacks=[saver, EarlyStopping("val_loss")], enable_checkpointing=None)
    trainer.fit(module, loader(), loader(12))
    assert {"train_loss", "bar_loss", "val_loss", "logged_val_loss"} <= trainer.callback_metrics.keys()
    assert "train_loss" in trainer.logged_metrics and "bar_loss" not in trainer.logged_metrics
    assert list(trainer.progress_bar_metrics) == ["bar_loss"]
    assert module.seen == 3 and saver.best_model_score is not None
    module.eval()
    with torch.no_grad():
        mean = torch.stack([loss_of(module.net, batch) for batch in loader(12)]).mean()
    assert trainer.test(module, loader(12))[0]["test_loss"] == pytest.approx(float(mean))


def test_dictionaries_of_an_inherited_step_are_logged_too(tmp_path: Path) -> None:
    class Plain(Classifier):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = loss_of(self.net, batch)
            return {"loss": loss, "log": {"deep": loss}}

    class Child(Plain):
        pass

    trainer = quiet(tmp_path, max_epochs=1)
    trainer.fit(Child(), loader())
    assert "deep" in trainer.logged_metrics


def test_epoch_ends_get_the_outputs_of_their_epoch(tmp_path: Path) -> None:
    class Ends(Classifier):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[Any] = []

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return {"loss": loss_of(self.net, batch), "index": batch_idx}

        def training_epoch_end(self, outputs: Any) -> None:
            self.seen.append([output["index"] for output in outputs])
            assert not outputs[0]["loss"].requires_grad
            self.log("mean", torch.stack([output["loss"] for output in outputs]).mean())

        def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int) -> Any:
            return dataloader_idx

        def validation_epoch_end(self, outputs: Any) -> None:
            self.seen.append(outputs)

    module = Ends()
    trainer = quiet(tmp_path, limit_train_batches=2, num_sanity_val_steps=1)
    trainer.fit(module, loader(), [loader(8), loader(4)])
    whole = [[0, 0], [1]]
    assert module.seen == [[[0], [1]], whole, [0, 1], whole, [0, 1]]
    assert "mean" in trainer.callback_metrics


def test_step_ends_run_once_after_the_step(tmp_path: Path) -> None:
    class Parent(Classifier):
        calls = 0

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return self.net(batch[0]), batch[1]

        def training_step_end(self, outputs: Any) -> Any:
            Parent.calls += 1
            return {"loss": nn.functional.cross_entropy(*outputs)}

        def validation_step(self, batch: Any, batch_idx: int) -> Any:
            return loss_of(self.net, batch)

        def validation_step_end(self, loss: Any) -> Any:
            self.log("val_loss", 2 * loss)

    class Child(Parent):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return super().training_step(batch, batch_idx)

    module = Child()
    plain = Classifier()
    plain.load_state_dict(module.state_dict())
    for each in (module, plain):
        torch.manual_seed(1)
        trainer = quiet(tmp_path, max_epochs=1)
        trainer.fit(each, loader(), loader(4) if each is module else None)
        assert each is plain or "val_loss" in trainer.callback_metrics
    assert Parent.calls == 10
    assert_same_weights(module, plain)


# -- hooks with other arguments --------------------------------------------------------------------------


def test_backward_and_optimizer_step_take_classic_arguments(tmp_path: Path) -> None:
    class Hooks(Classifier):
        seen: set[str] = set()

        def backward(self, use_amp: bool, loss: Any, optimizer: Any) -> None:  # type: ignore[override]
            self.seen.add(f"backward {use_amp} {type(optimizer).__name__}")
            loss.backward()

        def optimizer_step(  # type: ignore[override]
            self,
            epoch: int,
            batch_idx: int,
            optimizer: Any,
            optimizer_idx: int,
            second_order_closure: Any = None,
        ) -> None:
            self.seen.add(f"step {optimizer_idx}")
            optimizer.step()

        def on_train_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int) -> None:  # type: ignore[override]
            self.seen.add(f"start {dataloader_idx}")

        def on_before_optimizer_step(self, optimizer: Any, optimizer_idx: int) -> None:  # type: ignore[override]
            self.seen.add(f"before {optimizer_idx}")

    class Watch(Callback):
        seen: set[int] = set()

        def on_train_batch_end(  # type: ignore[override]
            self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int
        ) -> None:
            self.seen.add(dataloader_idx)

    module, plain = Hooks(), Classifier()
    plain.load_state_dict(module.state_dict())
    for each in (module, plain):
        torch.manual_seed(1)
        trainer = quiet(tmp_path, callbacks=[Watch()])
        trainer.fit(each, loader())
        assert trainer.global_step == 20
    assert Hooks.seen == {"backward False SGD", "step 0", "start 0", "before 0"} and Watch.seen == {0}
    assert_same_weights(module, plain)


def test_arguments_of_ones_own_naming_are_left_to_their_places(tmp_path: Path) -> None:
    class Today(Classifier):
        ran = False

        def optimizer_step(self, current: int, batch_idx: int, opt: Any, closure: Any) -> None:  # type: ignore[override]
            opt.step(closure=closure)
            Today.ran = True

        def on_train_batch_start(self, x: Any, index: int, unused: int = 0) -> None:  # type: ignore[override]
            assert unused == 0 and index == self.trainer.state.batch_idx

    class Old(Classifier):
        seen: list[Any] = []

        def optimizer_step(self, e: int, b: int, opt: Any, opt_idx: int, c: Any, on_tpu: bool = True) -> None:  # type: ignore[override]
            self.seen.append((e, b, opt_idx, on_tpu))
            opt.step(closure=c)

        def lr_scheduler_step(self, scheduler: Any, optimizer_idx: int, metric: Any) -> None:  # type: ignore[override]
            self.seen.append((type(scheduler).__name__, optimizer_idx, metric))
            scheduler.step()

        def configure_optimizers(self) -> Any:
            optimizer = super().configure_optimizers()
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]

    for kind in (Today, Old):
        trainer = quiet(tmp_path, max_epochs=1)
        trainer.fit(kind(), loader(8))
        assert trainer.global_step == 2
    assert Today.ran and Old.seen == [(0, 0, 0, False), (0, 1, 0, False), ("StepLR", 0, None)]


def test_a_subclass_may_call_classic_hooks_of_its_base(tmp_path: Path) -> None:
    class Base(Classifier):
        def backward(self, loss: Any, optimizer: Any, optimizer_idx: int) -> None:  # type: ignore[override]
            loss.backward()

    class Child(Base):
        def backward(self, loss: Any, optimizer: Any, optimizer_idx: int) -> None:  # type: ignore[override]
            super().backward(loss, optimizer, optimizer_idx)

    trainer = quiet(tmp_path)
    trainer.fit(Child(), loader())
    assert trainer.global_step == 20


# -- several optimizers by index -------------------------------------------------------------------------


class Gan(LightningModule):
    """Two networks, two optimizers, one training_step."""

    def __init__(self, frequencies: Any = None) -> None:
        super().__init__()
        self.generator, self.critic = nn.Linear(8, 8), nn.Linear(8, 1)
        self.frequencies, self.indices = frequencies, list[int]()
        self.required: list[bool] = []

    def training_step(self, batch: Any, batch_idx: int, optimizer_idx: int) -> Any:
        self.indices.append(optimizer_idx)
        self.required.append(self.generator.weight.requires_grad)
        fake = self.generator(batch[0])
        if optimizer_idx == 0:
            return {"loss": -self.critic(fake).mean(), "log": {"g": 1.0}}
        loss = self.critic(fake.detach()).mean() - self.critic(batch[0]).mean()
        self.log("d", loss)
        return loss

    def configure_optimizers(self) -> Any:
        pair = [torch.optim.Adam(net.parameters(), 0.01) for net in (self.generator, self.critic)]
        if self.frequencies is None:
            return pair, [torch.optim.lr_scheduler.StepLR(pair[0], 1, 0.5)]
        return [
            {"optimizer": optimizer, "frequency": frequency}
            for optimizer, frequency in zip(pair, self.frequencies, strict=True)
        ]


def hand_written(module: Any, batches: list[Any], epochs: int, window: int = 1, clip: float = 0.0) -> None:
    pair = [torch.optim.Adam(net.parameters(), 0.01) for net in (module.generator, module.critic)]
    schedule = torch.optim.lr_scheduler.StepLR(pair[0], 1, 0.5)
    for _ in range(epochs):
        for index, (x, _) in enumerate(batches):
            size = min(window, len(batches) - (index - index % window))
            for number, optimizer in enumerate(pair):
                if index % window == 0:
                    optimizer.zero_grad()
                fake = module.generator(x)
                loss = (
                    -module.critic(fake).mean()
                    if number == 0
                    else module.critic(fake.detach()).mean() - module.critic(x).mean()
                )
                own = list((module.generator, module.critic)[number].parameters())
                gradients = torch.autograd.grad(loss / size if size > 1 else loss, own)
                for parameter, gradient in zip(own, gradients, strict=True):
                    parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
                if (index + 1) % window == 0 or index + 1 == len(batches):
                    if clip:
                        nn.utils.clip_grad_norm_(own, clip)
                    optimizer.step()
        schedule.step()


@pytest.mark.parametrize(
    ("options", "arguments"),
    [({}, {}), ({"accumulate_grad_batches": 3}, {"window": 3}), ({"gradient_clip_val": 0.1}, {"clip": 0.1})],
)
def test_optimizers_step_by_index_as_in_a_hand_written_loop(
    tmp_path: Path, options: dict[str, Any], arguments: dict[str, Any]
) -> None:
    module = Gan()
    other = copy.deepcopy(module)
    trainer = quiet(tmp_path, **options)
    trainer.fit(module, loader())
    hand_written(other, list(loader()), epochs=2, **arguments)
    assert module.indices[:4] == [0, 1, 0, 1] and module.required[:2] == [True, False]
    for name, value in weights(other).items():
        assert torch.allclose(weights(module)[name], value, atol=1e-6), name
    assert {"g", "d"} <= trainer.logged_metrics.keys()
    assert trainer.optimizers[0].param_groups[0]["lr"] == 0.0025
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_frequencies_say_whose_turn_it_is(tmp_path: Path) -> None:
    module = Gan(frequencies=(1, 3))
    quiet(tmp_path, max_epochs=1).fit(module, loader())
    assert module.indices == [0, 1, 1, 1, 0, 1, 1, 1, 0, 1]


def test_by_index_is_inherited_and_resumes(tmp_path: Path) -> None:
    class Child(Gan):
        def training_step(self, batch: Any, batch_idx: int, optimizer_idx: int) -> Any:
            return super().training_step(batch, batch_idx, optimizer_idx)

        def configure_optimizers(self) -> Any:
            pair, _ = super().configure_optimizers()
            plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(pair[1], patience=0, factor=0.5)
            return pair, [{"scheduler": plateau, "monitor": "d"}]

    module = Child()
    other = copy.deepcopy(module)
    quiet(tmp_path, max_epochs=3).fit(module, loader())
    first = quiet(tmp_path, max_epochs=1)
    first.fit(other, loader())
    first.save_checkpoint(tmp_path / "one.ckpt")
    resumed = Child()
    quiet(tmp_path, max_epochs=3).fit(resumed, loader(), ckpt_path=tmp_path / "one.ckpt")
    assert_same_weights(resumed, module)
