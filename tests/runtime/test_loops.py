"""`trainer.fit_loop`, as code written for Lightning reads and sets it: the same under both packages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.runtime.models import dataset, loss_of, network
from torch.optim import SGD
from torch.utils.data import DataLoader

import litify

try:
    import lightning.pytorch as lightning
except Exception as error:  # a broken torchvision beside it stops it in more ways than ImportError
    pytest.skip(f"lightning cannot be imported: {error}", allow_module_level=True)


def told(package: Any, folder: Path) -> list[Any]:
    """What a module sees in three epochs, the second one asked for during the first, the third after a resume."""
    seen: list[Any] = []

    class Module(package.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def on_train_epoch_start(self) -> None:
            seen.append((self.current_epoch, self.trainer.fit_loop.restarting))

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loop = self.trainer.fit_loop
            seen.append((loop.batch_idx, loop.total_batch_idx, loop.epoch_loop.global_step, loop.max_batches))
            seen.append(loop.epoch_progress.current.processed)
            if self.current_epoch == 0 and loop.max_epochs == 1:
                loop.max_epochs += 1
            return loss_of(self.net, batch)

        def on_train_batch_end(self, *args: Any) -> None:
            seen.append(self.trainer.fit_loop.epoch_loop.batch_progress.current.processed)

        def configure_optimizers(self) -> Any:
            self.trainer.fit_loop.setup_data()
            seen.append(self.trainer.num_training_batches)
            return SGD(self.parameters(), lr=0.1)

    options: dict[str, Any] = {
        "accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False,
        "enable_checkpointing": False, "default_root_dir": folder,
    }  # fmt: skip
    data = DataLoader(dataset(12), 4)
    trainer = package.Trainer(max_epochs=1, **options)
    trainer.fit(Module(), data)
    trainer.save_checkpoint(folder / "kept.ckpt")
    assert trainer.max_epochs == 2
    package.Trainer(max_epochs=4, **options).fit(Module(), data, ckpt_path=folder / "kept.ckpt")
    return seen


@pytest.mark.filterwarnings("ignore")
def test_the_loop_tells_what_that_of_lightning_tells(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert told(litify, tmp_path / "a") == told(lightning, tmp_path / "b")
