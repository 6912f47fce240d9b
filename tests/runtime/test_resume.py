"""Training goes on from a checkpoint as if it had never stopped; checkpoints are whole, and Lightning's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.runtime.models import Classifier, Validated, assert_same_weights, loader, loss_of, quiet
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR

from litify import Callback, LightningModule, Trainer
from litify.callbacks import ModelCheckpoint
from litify.errors import CheckpointError
from litify.plugins.checkpoint_io import load, save
from litify.precision import MixedPrecision

EPOCHS = 3


class Saving(Callback):
    """Saves at every place where a checkpoint callback may."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, trainer: Trainer, place: str) -> None:
        if not trainer.sanity_checking:
            name = f"{trainer.current_epoch}-{trainer.state.batch:02d}-{place}.ckpt"
            trainer.save_checkpoint(self.folder / name)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self.save(trainer, "batch_end")

    def on_validation_end(self, trainer: Trainer, *_: Any) -> None:
        self.save(trainer, "validation_end")

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        self.save(trainer, "epoch_start")

    def on_train_epoch_end(self, trainer: Trainer, *_: Any) -> None:
        self.save(trainer, "epoch_end")


class Scheduled(Validated):
    """Dropout, shuffling, two kinds of schedule."""

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=0.02)
        plateau = ReduceLROnPlateau(optimizer, patience=0, factor=0.5, threshold=0.9)
        schedulers = [
            {"scheduler": plateau, "monitor": "val_loss"},
            {"scheduler": StepLR(optimizer, 4), "interval": "step"},
        ]
        return [optimizer], schedulers


def run(module: Any, ckpt_path: Path | None = None, callbacks: Any = None, **options: Any) -> Trainer:
    trainer = quiet(max_epochs=EPOCHS, callbacks=callbacks, **options)
    trainer.fit(module, loader(20, shuffle=True), loader(8), ckpt_path=ckpt_path)
    return trainer


OPTIONS: list[dict[str, Any]] = [
    {},
    {"accumulate_grad_batches": 2},
    {"val_check_interval": 2, "gradient_clip_val": 0.5},
    {"check_val_every_n_epoch": 2},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_resumed_from_any_place_ends_the_same(tmp_path: Path, options: dict[str, Any]) -> None:
    class Module(Scheduled):
        if options.get("check_val_every_n_epoch"):  # no validation metric in the first epoch

            def configure_optimizers(self) -> Any:
                return Classifier.configure_optimizers(self)

    torch.manual_seed(0)
    whole = Module()
    reference = run(whole, callbacks=Saving(tmp_path), **options)
    places = sorted(tmp_path.glob("*.ckpt"))
    assert len(places) > 20
    for place in places:
        torch.manual_seed(99)
        resumed = Module()
        trainer = run(resumed, place, **options)
        assert_same_weights(resumed, whole, place.name)
        assert trainer.global_step == reference.global_step, place
        assert trainer.current_epoch == EPOCHS, place


def test_an_epoch_that_max_steps_cut_short_goes_on(tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole = Scheduled()
    run(whole)
    torch.manual_seed(0)
    first = run(Scheduled(), callbacks=ModelCheckpoint(tmp_path), enable_checkpointing=True, max_steps=7)
    torch.manual_seed(99)
    resumed = Scheduled()
    trainer = run(resumed, first.checkpoint_callback.best_model_path)
    assert trainer.current_epoch == EPOCHS and trainer.global_step == 15
    assert_same_weights(resumed, whole)


def test_epoch_and_steps_go_on(tmp_path: Path) -> None:
    trainer = quiet(tmp_path, enable_checkpointing=True, max_epochs=2)
    trainer.fit(Classifier(), loader(20))
    path = trainer.checkpoint_callback.best_model_path
    assert Path(path).name == "epoch=1-step=10.ckpt"
    seen: list[tuple[int, int, int]] = []

    class Module(Classifier):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            seen.append((self.current_epoch, batch_idx, self.global_step))

    quiet(max_epochs=3).fit(Module(), loader(20), ckpt_path=path)
    assert seen == [(2, i, 10 + i) for i in range(5)]


def test_last_finds_the_newest_and_nothing_is_no_error(tmp_path: Path) -> None:
    def trainer(epochs: int) -> Trainer:
        callback = ModelCheckpoint(tmp_path, save_last=True)
        return quiet(callbacks=callback, max_epochs=epochs, enable_checkpointing=True)

    with pytest.warns(UserWarning, match="no checkpoint yet"):
        trainer(1).fit(Classifier(), loader(8), ckpt_path="last")
    second = trainer(2)
    second.fit(Classifier(), loader(8), ckpt_path="last")
    assert second.global_step == 4 and second.resumed_from == str(tmp_path / "last.ckpt")


def test_weights_alone_are_no_training_to_go_on_from(tmp_path: Path) -> None:
    trainer = quiet()
    trainer.fit(Classifier(), loader(8))
    trainer.save_checkpoint(tmp_path / "weights.ckpt", weights_only=True)
    with pytest.raises(KeyError, match="holds weights only"):
        quiet().fit(Classifier(), loader(8), ckpt_path=tmp_path / "weights.ckpt")


def test_keys_are_those_of_lightning(tmp_path: Path) -> None:
    trainer = quiet(tmp_path, enable_checkpointing=True, plugins=[MixedPrecision("16-mixed", "cpu")])
    trainer.fit(Scheduled(), loader(8), loader(8))
    checkpoint = load(trainer.checkpoint_callback.best_model_path)
    assert set(checkpoint) == {
        "epoch", "global_step", "pytorch-lightning_version", "state_dict", "loops", "callbacks", "optimizer_states",
        "lr_schedulers", "hparams_name", "hyper_parameters", "MixedPrecision",
    }  # fmt: skip
    assert checkpoint["hyper_parameters"] == {"lr": 0.1, "dropout": 0.5}
    assert checkpoint["epoch"] == 1 and checkpoint["global_step"] == 4


# -- files ---------------------------------------------------------------------------------------------------------------


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    save({"state_dict": {}, "epoch": 1}, path)
    with pytest.raises((AttributeError, TypeError), match=r"[Cc]an't|cannot"):
        save({"state_dict": {}, "bad": lambda: None}, path)
    assert load(path)["epoch"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["a.ckpt"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read"),
        (b"garbage of some length", "is no checkpoint|cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_damaged_file_is_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "a.ckpt"
    save({"state_dict": {"w": torch.randn(1000)}}, path)
    path.write_bytes(path.read_bytes()[:-500] if content is None else content)
    with pytest.raises(CheckpointError, match=message) as error:
        quiet().fit(Classifier(), loader(8), ckpt_path=path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    class Other(Classifier):
        def __init__(self) -> None:
            LightningModule.__init__(self)
            self.net = torch.nn.Linear(8, 3)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.1)

    quiet_trainer = quiet()
    quiet_trainer.fit(Other(), loader(8))
    quiet_trainer.save_checkpoint(tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError, match="are not those of Classifier"):
        quiet().fit(Classifier(), loader(8), ckpt_path=tmp_path / "other.ckpt")


def test_missing_file() -> None:
    with pytest.raises(FileNotFoundError, match=r"There is no checkpoint nowhere\.ckpt"):
        quiet().fit(Classifier(), loader(8), ckpt_path="nowhere.ckpt")


class Custom:
    """A class that safe loading must refuse."""


def test_objects_of_own_classes_need_trust(tmp_path: Path) -> None:
    class Module(Classifier):
        def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            checkpoint["mine"] = Custom()

    trainer = quiet()
    trainer.fit(Module(), loader(8))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    with pytest.raises(CheckpointError, match="weights_only=False"):
        Module.load_from_checkpoint(tmp_path / "a.ckpt")
    assert isinstance(load(tmp_path / "a.ckpt", weights_only=False)["mine"], Custom)


# -- Ctrl-C --------------------------------------------------------------------------------------------------------------

SCRIPT = """
import sys, time, torch
from litify import Trainer
from tests.runtime.models import Classifier, loader

class Slow(Classifier):
    def training_step(self, batch, batch_idx):
        if self.current_epoch == 1 and batch_idx == 2 and not self.trainer.resumed_from:
            print("ready", flush=True)
            time.sleep(1)
        return super().training_step(batch, batch_idx)

torch.manual_seed(0)
module = Slow()
trainer = Trainer(max_epochs=3, accelerator="cpu", default_root_dir=sys.argv[1], enable_progress_bar=False, callbacks=None)
trainer.fit(module, loader(20, shuffle=True), ckpt_path=sys.argv[2] if len(sys.argv) > 2 else None)
torch.save(module.state_dict(), sys.argv[1] + "/final.pt")
"""


def test_interrupt_keeps_a_checkpoint_that_goes_on_exactly(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), str(tmp_path)]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    lines = [line for line in errors.splitlines() if "interrupted" in line]
    kept = tmp_path / "lightning_logs/version_0/checkpoints/interrupted.ckpt"
    assert lines == [f"litify: interrupted at epoch 1, step 8; go on with ckpt_path='{kept}'"]
    assert (tmp_path / "lightning_logs/version_0/hparams.yaml").exists()
    subprocess.run([*command, str(kept)], env=environment, check=True, capture_output=True)

    torch.manual_seed(0)
    whole = Classifier()
    quiet(max_epochs=3).fit(whole, loader(20, shuffle=True))
    resumed = Classifier()
    resumed.load_state_dict(torch.load(tmp_path / "final.pt"))
    assert_same_weights(resumed, whole)


def test_other_exceptions_reach_the_caller_after_hooks_and_loggers(tmp_path: Path) -> None:
    calls: list[str] = []

    class Failing(Classifier):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if batch_idx == 1:
                raise ZeroDivisionError("in the step")
            return loss_of(self.net, batch)

    class Watching(Callback):
        def on_exception(
            self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
        ) -> None:
            calls.append(type(exception).__name__)

    trainer = quiet(callbacks=Watching())
    with pytest.raises(ZeroDivisionError, match="in the step"):
        trainer.fit(Failing(), loader(8))
    assert calls == ["ZeroDivisionError"]
    assert trainer.state.status == "interrupted" and trainer.interrupted
