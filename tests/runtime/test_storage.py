"""Checkpoints and logs at a URL: what the Trainer writes to a folder, it can write to another storage, by fsspec."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
import torch
from tests.runtime.models import Classifier, Validated, assert_same_weights, loader, quiet

from litify import storage
from litify.callbacks import ModelCheckpoint
from litify.loggers import CSVLogger

URL = "memory://litify-tests"


@pytest.fixture(autouse=True)
def _empty() -> Iterator[None]:
    yield
    files = fsspec.filesystem("memory")
    if files.exists("/litify-tests"):
        files.rm("/litify-tests", recursive=True)


@pytest.mark.parametrize("folder", ["path", "url"])
def test_files_at_a_path_and_at_a_url(tmp_path: Path, folder: str) -> None:
    root = f"{URL}/files" if folder == "url" else str(tmp_path / "files")
    assert storage.names(root) == [] and not storage.exists(f"{root}/a")
    with storage.open_file(f"{root}/a", "w") as file:
        file.write("text, umlaut ä")
    storage.copy(f"{root}/a", f"{root}/b")
    assert (
        sorted(storage.names(root)) == ["a", "b"] and storage.is_dir(root) and not storage.is_dir(f"{root}/a")
    )
    with storage.open_file(f"{root}/b") as file:
        assert file.read() == "text, umlaut ä"
    assert storage.modified(f"{root}/b") >= storage.modified(f"{root}/a") > 0
    storage.remove(f"{root}/a")
    storage.remove(f"{root}/a")  # nothing to do
    assert storage.names(root) == ["b"]
    assert storage.whole(f"{root}/b/").endswith("files/b")


def test_training_goes_on_from_a_checkpoint_at_a_url() -> None:
    def checkpoints() -> ModelCheckpoint:
        return ModelCheckpoint(URL, monitor="val_loss", save_top_k=1, save_last=True)

    whole = Validated()
    parts = Validated()
    parts.load_state_dict(whole.state_dict())
    torch.manual_seed(3)
    quiet(max_epochs=3).fit(whole, loader(shuffle=True), loader(8))
    torch.manual_seed(3)
    first = quiet(max_epochs=2, enable_checkpointing=True, callbacks=[checkpoints()])
    first.fit(parts, loader(shuffle=True), loader(8))
    assert first.checkpoint_callback.last_model_path == f"{URL}/last.ckpt"
    assert len(storage.names(URL)) == 2  # the best and the last: others were deleted
    again = Validated()
    second = quiet(max_epochs=3, enable_checkpointing=True, callbacks=[checkpoints()])
    second.fit(again, loader(shuffle=True), loader(8), ckpt_path="last")
    assert_same_weights(whole, again)
    best = Validated.load_from_checkpoint(second.checkpoint_callback.best_model_path)
    assert isinstance(best, Validated)


def test_what_is_not_there_and_what_is_damaged_is_said() -> None:
    with pytest.raises(FileNotFoundError, match=f"{URL}/none.ckpt"):
        Classifier.load_from_checkpoint(f"{URL}/none.ckpt")
    with storage.open_file(f"{URL}/bad.ckpt", "wb") as file:
        file.write(b"garbage")
    with pytest.raises(RuntimeError, match=f"{URL}/bad.ckpt"):
        Classifier.load_from_checkpoint(f"{URL}/bad.ckpt")


def test_links_need_a_folder() -> None:
    with pytest.raises(ValueError, match="no links"):
        quiet(callbacks=[ModelCheckpoint(URL, save_last="link")], enable_checkpointing=True).fit(
            Classifier(), loader(8)
        )


def test_csv_logs_and_hyperparameters_at_a_url() -> None:
    logger = CSVLogger(URL, flush_logs_every_n_steps=1)
    module = Validated()
    quiet(max_epochs=2, logger=logger).fit(module, loader(), loader(8))
    assert logger.log_dir == f"{URL}/lightning_logs/version_0"
    assert set(storage.names(logger.log_dir)) == {"metrics.csv", "hparams.yaml"}
    with storage.open_file(f"{logger.log_dir}/metrics.csv") as file:
        rows = list(csv.DictReader(io.StringIO(file.read())))
    assert [row["epoch"] for row in rows] == ["0", "1"] and all(row["val_loss"] for row in rows)
    assert CSVLogger(URL).version == 1
