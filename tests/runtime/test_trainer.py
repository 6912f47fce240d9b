"""The Trainer's arguments, its four calls, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.runtime.models import (
    Classifier,
    Validated,
    dataset,
    loader,
    loss_of,
    quiet,
    weights,
)
from torch import nn

import litify
from litify import (
    LightningModule,
    MisconfigurationException,
    Trainer,
    flags,
)

# -- import --------------------------------------------------------------------------------------------------------------


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_import_needs_no_torch_and_names_the_extra_where_it_does() -> None:
    without = "import sys; sys.modules['torch'] = None\nimport litify\nprint(litify.__version__, 'torch.nn' in sys.modules)\n"
    assert python(without).stdout == f"{litify.__version__} False\n"
    failed = python(without + "litify.Trainer")
    assert failed.stderr.splitlines()[-1].endswith(
        'litify.Trainer needs torch, which is not installed: pip install "litify[run]"'
    )


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        litify.nonsense  # noqa: B018


# -- lengths -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "steps", "epochs"),
    [
        ({"max_epochs": 3}, 9, 3),
        ({"max_epochs": -1, "max_steps": 4}, 4, 2),
        ({"max_epochs": 2, "limit_train_batches": 2}, 4, 2),
        ({"max_epochs": 2, "limit_train_batches": 0.4}, 2, 2),
        ({"max_epochs": 0}, 0, 0),
        ({"max_epochs": 2, "accumulate_grad_batches": 2}, 4, 2),
        ({"max_epochs": 1, "limit_train_batches": 0}, 0, 0),
        ({"fast_dev_run": True}, 1, 1),
    ],
    ids=str,
)
def test_how_long_training_goes_on(options: dict[str, Any], steps: int, epochs: int) -> None:
    trainer = quiet(**options)
    trainer.fit(Classifier(), loader(12))
    assert (trainer.global_step, trainer.current_epoch) == (steps, epochs)


def test_should_stop_after_the_minimum() -> None:
    class Module(Classifier):
        def on_train_batch_end(self, *_: Any) -> None:
            self.trainer.should_stop = True

    trainer = quiet(max_epochs=10)
    trainer.fit(Module(), loader(12))
    assert (trainer.global_step, trainer.current_epoch) == (1, 1)
    trainer = quiet(max_epochs=10, min_steps=5)
    with pytest.warns(UserWarning, match="min_steps=5 is not reached"):
        trainer.fit(Module(), loader(12))
    assert trainer.global_step == 5


def test_max_time() -> None:
    trainer = quiet(max_epochs=-1, max_time=timedelta(microseconds=1))
    trainer.fit(Classifier(), loader(12))
    assert trainer.global_step == 1


def test_estimated_stepping_batches_in_configure_optimizers() -> None:
    class Module(Classifier):
        def configure_optimizers(self) -> Any:
            self.steps = self.trainer.estimated_stepping_batches
            return super().configure_optimizers()

    module = Module()
    quiet(max_epochs=5, accumulate_grad_batches=2).fit(module, loader(12))
    assert module.steps == 10


def test_returning_minus_one_skips_the_rest_of_the_epoch() -> None:
    class Module(Classifier):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
            return -1 if batch_idx == 1 else None

    trainer = quiet(max_epochs=3)
    trainer.fit(Module(), loader(12))
    assert (trainer.global_step, trainer.current_epoch) == (3, 3)


@pytest.mark.parametrize(
    ("options", "batches"),
    [
        ({}, [2, 5, 8]),
        ({"val_check_interval": 2}, [1, 4, 7]),
        ({"val_check_interval": 0.34}, [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        ({"check_val_every_n_epoch": 2}, [5]),
        ({"val_check_interval": 4, "check_val_every_n_epoch": None}, [3, 7]),
        ({"limit_val_batches": 0}, []),
    ],
    ids=str,
)
def test_when_validation_runs(options: dict[str, Any], batches: list[int]) -> None:
    seen: list[int] = []

    class Module(Validated):
        def on_validation_start(self) -> None:
            seen.append(self.trainer.state.total_batches - 1)

    quiet(max_epochs=3, num_sanity_val_steps=0, **options).fit(Module(), loader(12), loader(8))
    assert seen == batches


def test_last_window_of_accumulation_weighs_like_the_others() -> None:
    """9 batches by 4 of gradient 1 are steps of gradient 1, 1 and 1."""
    gradients: list[float] = []

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(()))

        def training_step(self, batch: Any) -> Any:
            return self.weight * 1.0

        def on_before_optimizer_step(self, optimizer: Any) -> None:
            assert self.weight.grad is not None
            gradients.append(self.weight.grad.item())

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.1)

    class NoLength:
        def __iter__(self) -> Iterator[int]:
            return iter(range(9))

    for data in (range(9), NoLength()):
        gradients.clear()
        quiet(max_epochs=1, accumulate_grad_batches=4).fit(Module(), data)
        assert gradients == [1.0, 1.0, 1.0]


# -- precision -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("precision", "weight", "inner"),
    [
        (None, torch.float32, torch.float32),
        (32, torch.float32, torch.float32),
        (64, torch.float64, torch.float64),
        ("bf16", torch.float32, torch.bfloat16),
        (16, torch.float32, torch.bfloat16),  # this is a CPU
        ("bf16-true", torch.bfloat16, torch.bfloat16),
        ("16-true", torch.float16, torch.float16),
    ],
    ids=str,
)
def test_precisions(precision: Any, weight: torch.dtype, inner: torch.dtype) -> None:
    seen: list[torch.dtype] = []

    class Module(Classifier):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            out = self.net(batch[0])
            seen.append(out.dtype)
            return nn.functional.cross_entropy(out.float(), batch[1])

    module = Module(lr=0.01)
    quiet(precision=precision).fit(module, loader(12))
    assert module.net[0].weight.dtype == weight and set(seen) == {inner}
    assert all(value.isfinite().all() for value in module.state_dict().values())
    assert torch.get_default_dtype() == torch.float32


# -- other calls ---------------------------------------------------------------------------------------------------------


def test_validate_and_test_return_and_print_their_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    module, trainer = Validated(dropout=0), quiet()
    expected = sum(loss_of(module.net, batch).item() for batch in loader(12)) / 3
    assert trainer.test(module, loader(12)) == [{"test_loss": pytest.approx(expected)}]
    assert trainer.validate(module, loader(12), verbose=False) == [{"val_loss": pytest.approx(expected)}]
    assert capsys.readouterr().out.split() == ["test", "metric", "test_loss", f"{expected:.6g}"]


def test_predict_returns_batches_and_changes_nothing() -> None:
    class Module(Classifier):
        def forward(self, batch: Any) -> Any:
            assert not torch.is_grad_enabled() and not self.training
            return self.net(batch[0])

    module, before = Module(), None
    before = weights(module)
    answer = quiet().predict(module, loader(12))
    assert answer is not None and [part.shape for part in answer] == [(4, 3)] * 3
    assert quiet().predict(module, loader(12), return_predictions=False) is None
    assert module.training and all(
        torch.equal(before[name], value) for name, value in module.state_dict().items()
    )


def test_best_checkpoint_is_used_after_fit(tmp_path: Path) -> None:
    checkpoint = litify.callbacks.ModelCheckpoint(monitor="val_loss", dirpath=tmp_path)
    trainer = quiet(callbacks=checkpoint, enable_checkpointing=True, max_epochs=2)
    module = Validated()
    trainer.fit(module, loader(12), loader(8))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    trainer.test(dataloaders=loader(8), verbose=False)
    assert trainer.ckpt_path == checkpoint.best_model_path
    assert module.net[0].weight.abs().sum() > 0
    assert trainer.validate(dataloaders=loader(8), ckpt_path="best", verbose=False)[0][
        "val_loss"
    ] == pytest.approx(
        checkpoint.best_model_score.item()  # type: ignore[union-attr]
    )


def test_plain_module_without_a_trainer() -> None:
    module = Classifier()
    assert module.current_epoch == 0 and module.global_step == 0 and module.device == torch.device("cpu")
    assert module.logger is None and module.training_step(next(iter(loader(4))), 0).requires_grad
    module.freeze()
    assert not module.training and not any(p.requires_grad for p in module.parameters())
    module.unfreeze()
    assert module.training and all(p.requires_grad for p in module.parameters())
    with pytest.raises(RuntimeError, match="not attached to a Trainer"):
        module.trainer  # noqa: B018


def test_manual_optimization_toggles_and_counts() -> None:
    required: list[tuple[bool, bool]] = []

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False
            self.a, self.b = nn.Linear(8, 3), nn.Linear(8, 3)

        def training_step(self, batch: Any, batch_idx: int) -> None:
            for net, optimizer in zip((self.a, self.b), self.optimizers(), strict=True):
                self.toggle_optimizer(optimizer)
                required.append((self.a.weight.requires_grad, self.b.weight.requires_grad))
                optimizer.zero_grad()
                self.manual_backward(loss_of(net, batch))
                optimizer.step()
                self.untoggle_optimizer(optimizer)
            assert isinstance(optimizer, torch.optim.SGD)
            self.lr_schedulers().step()

        def configure_optimizers(self) -> Any:
            optimizers = [torch.optim.SGD(net.parameters(), 0.1) for net in (self.a, self.b)]
            return optimizers, [torch.optim.lr_scheduler.StepLR(optimizers[0], 1)]

    module, trainer = Module(), quiet(max_epochs=1)
    trainer.fit(module, loader(8))
    assert required == [(True, False), (False, True)] * 2
    assert trainer.global_step == 4
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.001)


# -- what is said at the start ---------------------------------------------------------------------------------------------


def test_start_block(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Trainer(
        max_epochs=1,
        accelerator="cpu",
        default_root_dir=tmp_path,
        accumulate_grad_batches=2,
        enable_progress_bar=False,
    ).fit(Classifier(), loader(8))
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        "Classifier: 195 parameters",
        "  devices    cpu, 32-true",
        "  step       after 2 batches",
        f"  run folder {tmp_path}/lightning_logs/version_0",
    ]
    assert said.out == ""


def test_lines_per_epoch_where_output_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    class Module(Classifier):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = super().training_step(batch, batch_idx)
            self.log("half", 0.5, prog_bar=True)
            return loss

    quiet(enable_progress_bar=True).fit(Module(), loader(8))
    lines = capsys.readouterr().err.splitlines()
    assert [line.replace("0.0 s", "_") for line in lines] == [
        "epoch 1/2  2/2 batches  _  half=0.5",
        "epoch 2/2  2/2 batches  _  half=0.5",
    ]


def test_command_line_flags_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(flags.VARIABLE, '{"max_epochs": 7, "precision": "bf16-mixed"}')
    trainer = quiet(max_epochs=1)
    assert trainer.max_epochs == 7 and trainer.precision == "bf16-mixed"


# -- refusals --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accelerator": "abacus"}, "accelerator='abacus'.*known accelerators"),
        ({"devices": 0}, "devices=0"),
        ({"devices": "many"}, "devices='many'"),
        ({"precision": 8}, "precision=8.*known precisions"),
        ({"strategy": "magic"}, "strategy='magic'.*known strategies"),
        ({"max_epochs": -5}, "max_epochs=-5"),
        ({"accumulate_grad_batches": 0}, "accumulate_grad_batches=0"),
        ({"gradient_clip_algorithm": "hope"}, "gradient_clip_algorithm='hope'"),
        ({"limit_train_batches": -1}, "limit_train_batches=-1"),
        ({"limit_train_batches": 1.5}, "limit_train_batches=1.5"),
        ({"val_check_interval": 1.5}, "val_check_interval=1.5"),
        ({"max_time": "an hour"}, "max_time='an hour'"),
        ({"callbacks": [object()]}, "callbacks"),
        ({"deterministic": "maybe"}, "deterministic='maybe'"),
        (
            {"enable_checkpointing": False, "callbacks": litify.callbacks.ModelCheckpoint()},
            "enable_checkpointing=False",
        ),
    ],
    ids=lambda value: str(value).partition(" object at ")[0],  # no addresses: each process names a case alike
)
def test_arguments_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(MisconfigurationException, match=message) as error:
        quiet(**options)
    assert "\n" not in str(error.value)


def broken(**methods: Any) -> Any:
    return type("Broken", (Classifier,), methods)()


@pytest.mark.parametrize(
    ("module", "error", "message"),
    [
        (broken(training_step=None), MisconfigurationException, "Broken has no training_step"),
        (broken(configure_optimizers=None), MisconfigurationException, "Broken has no configure_optimizers"),
        (broken(training_step=lambda self, b, i: 3), MisconfigurationException, "training_step returned int"),
        (broken(training_step=lambda self, b, i: {"l": 1}), MisconfigurationException, "without 'loss'"),
        (broken(training_step=lambda self, b, i: self.net(b[0])), RuntimeError, "loss of 12 elements.*mean"),
        (broken(training_step=lambda self, b, i: torch.ones(())), RuntimeError, "no gradient"),
        (
            broken(configure_optimizers=lambda self: 3),
            MisconfigurationException,
            "configure_optimizers returned int",
        ),
        (
            broken(
                configure_optimizers=lambda self: [torch.optim.SGD(self.parameters(), 0.1) for _ in range(2)]
            ),
            RuntimeError,
            "2 optimizers.*automatic_optimization = False",
        ),
        (broken(optimizer_step=lambda self, *a: None), MisconfigurationException, "did not call its closure"),
    ],
    ids=lambda value: None if isinstance(value, torch.nn.Module) else str(value)[:30],
)
def test_modules_that_cannot_train(module: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as raised:
        quiet().fit(module, loader(8))
    assert "\n" not in str(raised.value)


def test_no_lightning_module() -> None:
    with pytest.raises(TypeError, match="runs a LightningModule, not a Linear"):
        quiet().fit(nn.Linear(1, 1), loader(8))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"Trainer\.test\(\) has no module yet"):
        quiet().test()


@pytest.mark.parametrize("options", [{"accumulate_grad_batches": 2}, {"gradient_clip_val": 1.0}], ids=str)
def test_arguments_without_effect_under_manual_optimization(options: dict[str, Any]) -> None:
    module = Classifier()
    module.automatic_optimization = False
    with pytest.raises(MisconfigurationException, match="no effect under manual optimization"):
        quiet(**options).fit(module, loader(8))


def test_a_second_fit_of_the_same_trainer_goes_on() -> None:
    trainer, module = quiet(max_epochs=1), Classifier()
    trainer.fit(module, loader(8))
    trainer.max_epochs = 3
    trainer.fit(module, loader(8))
    assert trainer.current_epoch == 3 and trainer.global_step == 6


def test_dataset_is_no_loader_of_batches_but_may_be_iterated() -> None:
    """A map-style data set yields samples; whoever passes one gets them one by one."""
    seen = []

    class Module(Classifier):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            seen.append(batch[0].shape)
            return self.net(batch[0]).sum()

    quiet(max_epochs=1).fit(Module(), dataset(3))
    assert seen == [(8,)] * 3
