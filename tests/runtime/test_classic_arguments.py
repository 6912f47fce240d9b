"""Trainer's arguments of Lightning 0.7 to 1.x do what they did, and say how they are written today."""

from __future__ import annotations

import warnings
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.models import (
    Classifier,
    loader,
    loss_of,
    quiet,
)

from litify import Callback, MisconfigurationException, Trainer
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
    with pytest.raises(TypeError, match="unexpected argument 'max_epoch'; did you mean 'max_epochs'"):
        Trainer(max_epoch=3)
    with pytest.raises(TypeError, match="see help"):
        Trainer(zebra=3)


def test_a_hint_is_said_once() -> None:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        quiet(max_nb_epochs=1)
        quiet(max_nb_epochs=2)
    texts = [str(warning.message) for warning in found]
    assert texts == [
        "Trainer(max_nb_epochs=...) is how Lightning 1.x spelt max_epochs=...; it is translated."
    ]
    assert found[0].filename == __file__.replace("test_classic_arguments", "models")


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


def test_a_parser_takes_the_arguments_of_the_trainer(tmp_path: Path) -> None:
    parser = ArgumentParser()
    parser.add_argument("--rate", type=float, default=0.1)
    parser = Trainer.add_argparse_args(parser)
    line = [
        "--max_epochs",
        "3",
        "--gpus",
        "0",
        "--limit_val_batches",
        "0.5",
        "--logger",
        "False",
        "--rate",
        "0.2",
    ]
    args = parser.parse_args(
        [*line, "--enable_checkpointing", "False", "--precision", "64-true", "--fast_dev_run"]
    )
    trainer = Trainer.from_argparse_args(args, max_epochs=4, default_root_dir=tmp_path, fast_dev_run=False)
    assert (trainer.max_epochs, trainer.limit_val_batches, trainer.precision) == (4, 0.5, "64-true")
    assert args.rate == 0.2 and args.fast_dev_run is True and trainer.loggers == []
