"""The names of Lightning 0.7 to 1.x do what they did, and say how they are written today."""

from __future__ import annotations

import copy
import warnings
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.runtime.models import (
    Classifier,
    assert_same_weights,
    dataset,
    loader,
    loss_of,
    network,
    quiet,
    weights,
)
from torch import nn
from torch.utils.data import DataLoader

from litify import Callback, LightningDataModule, LightningModule, MisconfigurationException, Trainer
from litify.callbacks import (
    BatchSizeFinder,
    EarlyStopping,
    GradientAccumulationScheduler,
    LearningRateFinder,
    ModelCheckpoint,
    ModelSummary,
    StochasticWeightAveraging,
    TQDMProgressBar,
)
from litify.classic import hints
from litify.classic.arguments import modern


@pytest.fixture(autouse=True)
def hints_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test hears its hints, and none of another test's."""
    monkeypatch.setattr(hints, "_said", set())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def translated(**classic: Any) -> dict[str, Any]:
    """What Trainer arguments become, those of today as they are by default unless given."""
    given = {
        "accelerator": "auto", "strategy": "auto", "devices": "auto", "callbacks": None, "max_steps": -1, "profiler": None,
        "accumulate_grad_batches": 1, "precision": None, "enable_checkpointing": None, "enable_progress_bar": None,
        "enable_model_summary": None,
    }  # fmt: skip
    known = {name: classic.pop(name) for name in list(classic) if name in given}
    return modern({**given, **known}, classic)


# -- Trainer's arguments ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("classic", "today"),
    [
        ({"gpus": 4}, {"accelerator": "gpu", "devices": 4}),
        ({"gpus": [0]}, {"accelerator": "gpu", "devices": [0]}),
        ({"gpus": "0,1"}, {"accelerator": "gpu", "devices": "0,1"}),
        ({"gpus": -1}, {"accelerator": "gpu", "devices": -1}),
        ({"gpus": 0}, {"accelerator": "cpu", "devices": "auto"}),
        ({"gpus": None}, {"accelerator": "auto", "devices": "auto"}),
        ({"gpus": 2, "distributed_backend": "ddp"}, {"accelerator": "gpu", "devices": 2, "strategy": "ddp"}),
        ({"gpus": 2, "accelerator": "ddp"}, {"accelerator": "gpu", "devices": 2, "strategy": "ddp"}),
        ({"gpus": 2, "accelerator": "ddp_spawn"}, {"accelerator": "gpu", "devices": 2, "strategy": "ddp"}),
        ({"accelerator": "ddp"}, {"accelerator": "auto", "strategy": "ddp"}),
        ({"accelerator": "ddp_cpu", "num_processes": 8}, {"accelerator": "cpu", "devices": 8, "strategy": "ddp"}),
        ({"distributed_backend": "ddp_cpu", "num_processes": 2}, {"accelerator": "cpu", "devices": 2, "strategy": "ddp"}),
        ({"tpu_cores": 8}, {"accelerator": "tpu", "devices": 8}),
        ({"num_processes": 8}, {"accelerator": "cpu", "devices": 8}),
        ({"use_amp": True, "amp_level": "O2"}, {"precision": "16-mixed"}),
        ({"use_amp": False}, {"precision": None}),
        ({"max_nb_epochs": 3, "min_nb_epochs": 1}, {"max_epochs": 3, "min_epochs": 1}),
        ({"nb_sanity_val_steps": 5, "val_percent_check": 0.1}, {"num_sanity_val_steps": 5, "limit_val_batches": 0.1}),
        ({"train_percent_check": 0.5, "overfit_pct": 0.1}, {"limit_train_batches": 0.5, "overfit_batches": 0.1}),
        ({"checkpoint_callback": False}, {"enable_checkpointing": False}),
        ({"progress_bar_refresh_rate": 0}, {"enable_progress_bar": False}),
        ({"weights_summary": None}, {"enable_model_summary": False}),
        ({"max_steps": None}, {"max_steps": -1}),
        ({"profiler": True}, {"profiler": "simple"}),
        ({"reload_dataloaders_every_epoch": True}, {"reload_dataloaders_every_n_epochs": 1}),
        ({"row_log_interval": 10, "default_save_path": "x"}, {"log_every_n_steps": 10, "default_root_dir": "x"}),
    ],
)  # fmt: skip
def test_arguments_are_translated(classic: dict[str, Any], today: dict[str, Any]) -> None:
    found = translated(**classic)
    assert {name: found[name] for name in today} == today


@pytest.mark.parametrize(
    ("classic", "kind", "attributes"),
    [
        ({"early_stop_callback": True}, EarlyStopping, {"monitor": "val_loss", "patience": 3}),
        ({"early_stop_callback": EarlyStopping("acc")}, EarlyStopping, {"monitor": "acc"}),
        ({"checkpoint_callback": ModelCheckpoint(monitor="m")}, ModelCheckpoint, {"monitor": "m"}),
        ({"weights_save_path": "/kept"}, ModelCheckpoint, {"dirpath": "/kept"}),
        ({"progress_bar_refresh_rate": 20, "process_position": 1}, TQDMProgressBar, {"refresh_rate": 20, "process_position": 1}),
        ({"auto_lr_find": "rate"}, LearningRateFinder, {"_attr_name": "rate"}),
        ({"auto_scale_batch_size": "binsearch"}, BatchSizeFinder, {"_mode": "binsearch"}),
        ({"stochastic_weight_avg": True}, StochasticWeightAveraging, {"_swa_lrs": 1e-2}),
        ({"weights_summary": "full"}, ModelSummary, {"_max_depth": -1}),
        ({"accumulate_grad_batches": {3: 2}}, GradientAccumulationScheduler, {"scheduling": {0: 1, 3: 2}}),
    ],
)  # fmt: skip
def test_arguments_become_callbacks(classic: dict[str, Any], kind: Any, attributes: dict[str, Any]) -> None:
    (callback,) = translated(**classic)["callbacks"]
    assert type(callback) is kind
    assert {name: getattr(callback, name) for name in attributes} == attributes


def test_arguments_without_a_successor_are_refused() -> None:
    for name, value in (
        ("track_grad_norm", 2),
        ("truncated_bptt_steps", 5),
        ("multiple_trainloader_mode", "min_size"),
    ):
        with pytest.raises(MisconfigurationException, match=f"Trainer\\({name}="):
            translated(**{name: value})
    translated(track_grad_norm=-1, truncated_bptt_steps=None)
    with pytest.raises(MisconfigurationException, match="pass strategy='ddp'"):
        translated(gpus=2, distributed_backend="dp")
    with pytest.raises(TypeError, match="unexpected argument 'max_epoch'"):
        Trainer(max_epoch=3)


def test_a_hint_is_said_once() -> None:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        quiet(max_nb_epochs=1)
        quiet(max_nb_epochs=2)
    texts = [str(warning.message) for warning in found]
    assert texts == [
        "Trainer(max_nb_epochs=...) is how Lightning 1.x spelt max_epochs=...; it is translated."
    ]
    assert found[0].filename == __file__.replace("test_classic", "models")


def test_flags_of_the_command_line_beat_older_spellings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITIFY_TRAINER_FLAGS", '{"devices": 1, "accelerator": "cpu", "max_epochs": 7}')
    trainer = quiet(gpus=4, max_nb_epochs=3)
    assert trainer.max_epochs == 7 and trainer.num_devices == 1


def test_resume_from_checkpoint_goes_on(tmp_path: Path) -> None:
    first = quiet(tmp_path, max_epochs=1)
    first.fit(Classifier(), loader())
    first.save_checkpoint(tmp_path / "one.ckpt")
    trainer = quiet(tmp_path, resume_from_checkpoint=str(tmp_path / "one.ckpt"), max_epochs=3)
    trainer.fit(Classifier(), loader())
    assert trainer.global_step == 30 and trainer.ckpt_path == str(tmp_path / "one.ckpt")


def test_older_names_of_loaders(tmp_path: Path) -> None:
    class Tested(Classifier):
        def test_step(self, batch: Any, batch_idx: int) -> None:
            self.log("loss", loss_of(self.net, batch))

    trainer = quiet(tmp_path)
    trainer.fit(Tested(), train_dataloader=loader())  # type: ignore[call-arg]
    assert trainer.global_step == 20
    assert "loss" in trainer.test(test_dataloaders=loader())[0]  # type: ignore[call-arg]


def test_tune_searches_and_fit_does_not_again(tmp_path: Path) -> None:
    module = Classifier(lr=1e-5)
    trainer = quiet(tmp_path, auto_lr_find=True, max_epochs=1)
    found = trainer.tune(module, loader(200))  # type: ignore[attr-defined]
    assert module.hparams.lr == found["lr_find"].suggestion() != 1e-5
    trainer.fit(module, loader(20))
    assert trainer.callbacks == [] and trainer.global_step == 5


def test_init_hooks_of_callbacks_run(tmp_path: Path) -> None:
    class Init(Callback):
        seen: list[str] = []

        def on_init_start(self, trainer: Any) -> None:
            self.seen.append("start")

        def on_init_end(self, trainer: Any) -> None:
            self.seen.append(f"end {trainer.max_epochs}")

    quiet(tmp_path, callbacks=[Init()])
    assert Init.seen == ["start", "end 2"]


# -- outputs and dictionaries -------------------------------------------------------------------------------------------


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


# -- hooks with other arguments -----------------------------------------------------------------------------------------


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


# -- several optimizers by index ------------------------------------------------------------------------------------------


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


# -- the introduction guide of 1.0, with digits in MNIST's place --------------------------------------------------------


class LitDigits(LightningModule):
    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer_1 = nn.Linear(8, 16)
        self.layer_2 = nn.Linear(16, num_classes)

    def forward(self, x: Any) -> Any:
        x = torch.relu(self.layer_1(x.view(x.size(0), -1)))
        return nn.functional.log_softmax(self.layer_2(x), dim=1)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = nn.functional.nll_loss(self(batch[0]), batch[1])
        self.log("my_loss", loss, on_step=True, on_epoch=True, prog_bar=True, logger=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", nn.functional.nll_loss(self(batch[0]), batch[1]))

    def test_step(self, batch: Any, batch_idx: int) -> Any:
        loss = nn.functional.nll_loss(self(batch[0]), batch[1])
        self.log("test_loss", loss)
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


class DigitsData(LightningDataModule):
    def prepare_data(self) -> None:
        self.prepared = True

    def setup(self, stage: str | None = None) -> None:
        self.num_classes = 3

    def train_dataloader(self) -> Any:
        return DataLoader(dataset(), batch_size=4)

    val_dataloader = test_dataloader = train_dataloader


def test_guide_a_model_defined_by_its_data_and_tested_from_a_checkpoint(tmp_path: Path) -> None:
    data = DigitsData()
    data.prepare_data()
    data.setup("fit")
    model = LitDigits(num_classes=data.num_classes)
    trainer = Trainer(gpus=0, max_epochs=1, progress_bar_refresh_rate=20, default_root_dir=tmp_path)
    trainer.fit(model, data)
    trainer.test(datamodule=data)
    path = trainer.checkpoint_callback.best_model_path
    again = LitDigits.load_from_checkpoint(path)
    (found,) = Trainer(gpus=0, default_root_dir=tmp_path, logger=False).test(again, test_dataloaders=data.test_dataloader())  # type: ignore[call-arg]
    assert "test_loss" in found
    again.freeze()
    assert again(torch.randn(1, 8)).shape == (1, 3)


def test_guide_loaders_to_fit_and_methods_of_the_module(tmp_path: Path) -> None:
    class WithData(LitDigits):
        def prepare_data(self) -> None:
            self.prepared = True

        def train_dataloader(self) -> Any:
            return DataLoader(dataset(), batch_size=4)

    quiet(tmp_path, max_epochs=1).fit(LitDigits(), DataLoader(dataset(), batch_size=4))
    trainer = quiet(tmp_path, max_epochs=1)
    trainer.fit(WithData())
    assert trainer.global_step == 10


def test_guide_child_modules_and_transfer(tmp_path: Path) -> None:
    class Encoder(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Linear(8, 4)

        def forward(self, x: Any) -> Any:
            return self.net(x)

    class AutoEncoder(LitDigits):
        """By inheritance: another forward, another step."""

        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = Encoder(), nn.Linear(4, 8)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return nn.functional.mse_loss(self.decoder(self.encoder(batch[0])), batch[0])

    quiet(tmp_path, max_epochs=1, logger=False).fit(AutoEncoder(), loader())

    class Transfer(LitDigits):
        def __init__(self, pretrained: nn.Module) -> None:
            super().__init__()
            self.feature_extractor = pretrained
            self.feature_extractor.freeze()  # type: ignore[operator]
            self.classifier = network()

        def forward(self, x: Any) -> Any:
            return nn.functional.log_softmax(
                self.classifier(nn.functional.pad(self.feature_extractor(x), (0, 4))), 1
            )

    encoder = Encoder()
    before = weights(encoder)
    quiet(tmp_path, max_epochs=1).fit(Transfer(encoder), loader())
    assert all(torch.equal(value, before[name]) for name, value in weights(encoder).items())


def test_guide_callbacks_and_overrides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Printing(Callback):
        def on_init_start(self, trainer: Any) -> None:
            print("starting to init trainer")

        def on_init_end(self, trainer: Any) -> None:
            print("trainer is init now")

        def on_train_end(self, trainer: Any, pl_module: Any) -> None:
            print("training ends")

    class Overrides(LitDigits):
        def backward(self, use_amp: bool, loss: Any, optimizer: Any) -> None:  # type: ignore[override]
            loss.backward(retain_graph=True)

        def optimizer_step(  # type: ignore[override]
            self,
            epoch: int,
            batch_idx: int,
            optimizer: Any,
            optimizer_idx: int,
            second_order_closure: Any = None,
        ) -> None:
            if batch_idx % 2 == 0:
                optimizer.step()

    trainer = quiet(tmp_path, callbacks=[Printing()], max_epochs=1)
    trainer.fit(Overrides(), loader())
    assert capsys.readouterr().out.splitlines() == [
        "starting to init trainer",
        "trainer is init now",
        "training ends",
    ]


def test_guide_hyperparameters_as_a_namespace(tmp_path: Path) -> None:
    class WithNamespace(LitDigits):
        def __init__(self, hparams: Namespace) -> None:
            super().__init__()
            self.save_hyperparameters(hparams)

    trainer = quiet(tmp_path, max_epochs=1)
    trainer.fit(WithNamespace(Namespace(rate=0.1)), loader())
    trainer.save_checkpoint(tmp_path / "kept.ckpt")
    assert WithNamespace.load_from_checkpoint(tmp_path / "kept.ckpt").hparams.rate == 0.1
