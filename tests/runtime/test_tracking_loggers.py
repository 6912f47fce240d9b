"""MLflow against a folder, Weights & Biases and Comet offline. Skipped where the packages are missing."""

from __future__ import annotations

import importlib.util
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.runtime.models import Validated, loader, quiet

from litify import Callback, MisconfigurationException
from litify.callbacks import ModelCheckpoint
from litify.errors import MissingExtra
from litify.loggers import CometLogger, MLFlowLogger, WandbLogger

needs_mlflow = pytest.mark.skipif(
    importlib.util.find_spec("mlflow") is None, reason="mlflow is not installed"
)
needs_wandb = pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="wandb is not installed")


needs_comet = pytest.mark.skipif(
    importlib.util.find_spec("comet_ml") is None, reason="comet_ml is not installed"
)


@pytest.mark.parametrize(
    ("kind", "package", "extra"),
    [(MLFlowLogger, "mlflow", "mlflow"), (WandbLogger, "wandb", "wandb"), (CometLogger, "comet_ml", "comet")],
)
def test_a_missing_package_names_its_extra(
    kind: Any, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, package, None)
    monkeypatch.setitem(__import__("sys").modules, f"{package}.tracking", None)
    with pytest.raises(MissingExtra, match=rf"litify\[{extra}\]"):
        kind()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return tmp_path


@needs_mlflow
def test_mlflow_keeps_metrics_parameters_and_checkpoints(folder: Path) -> None:
    logger = MLFlowLogger(
        "digits", run_name="first", save_dir=str(folder / "runs"), log_model=True, tags={"who": "me"}
    )
    trainer = quiet(
        folder,
        logger=logger,
        callbacks=[ModelCheckpoint(folder / "saved", monitor="val_loss")],
        enable_checkpointing=None,
    )
    trainer.fit(Validated(lr=0.25), loader(), loader())
    run = logger.experiment.get_run(logger.run_id)
    assert run.data.params["lr"] == "0.25"
    assert run.data.metrics["val_loss"] == pytest.approx(float(trainer.callback_metrics["val_loss"]))
    history = logger.experiment.get_metric_history(logger.run_id, "val_loss")
    assert [metric.step for metric in history] == [9, 19]
    assert run.data.tags["mlflow.runName"] == "first" and run.data.tags["who"] == "me"
    assert run.info.status == "FINISHED" and trainer.log_dir == str(folder / "runs")
    best = Path(trainer.checkpoint_callback.best_model_path).stem
    files = {file.path for file in logger.experiment.list_artifacts(logger.run_id, best)}
    assert files == {f"{best}/{best}.ckpt", f"{best}/metadata.yaml", f"{best}/aliases.txt"}


@needs_mlflow
def test_mlflow_goes_on_with_a_run_and_says_how_it_ended(folder: Path) -> None:
    first = MLFlowLogger(save_dir=str(folder))
    first.log_metrics({"a": 1.0, "text": "left out"}, step=3)
    second = MLFlowLogger(save_dir=str(folder), run_id=first.run_id, prefix="p")
    with pytest.warns(RuntimeWarning, match="logged as 'p-b'"):
        second.log_metrics({"b!": torch.tensor(2.0)})
    second.finalize("failed")
    assert second.experiment_id == first.experiment_id
    run = first.experiment.get_run(first.run_id)
    assert run.data.metrics == {"a": 1.0, "p-b": 2.0} and run.info.status == "FAILED"
    first.log_hyperparams({f"k{index}": "v" * 400 for index in range(150)})
    kept = first.experiment.get_run(first.run_id).data.params
    assert len(kept) == 150 and len(kept["k0"]) == 250


class Stub:
    """Notes what a wandb run is told."""

    def __init__(self) -> None:
        self.id, self.rows, self.config, self.artifacts = "abc", list[Any](), dict[str, Any](), list[Any]()
        self.config = type("Config", (dict,), {"update": lambda s, d, allow_val_change: dict.update(s, d)})()

    def log(self, row: Any) -> None:
        self.rows.append(row)

    def log_artifact(self, artifact: Any, aliases: Any) -> None:
        self.artifacts.append((artifact.name, aliases))


@needs_wandb
def test_wandb_is_told_metrics_parameters_and_checkpoints(tmp_path: Path) -> None:
    run = Stub()
    logger = WandbLogger(experiment=run, log_model=True, prefix="p", save_dir=tmp_path)
    saver = ModelCheckpoint(tmp_path / "saved", monitor="val_loss")
    quiet(tmp_path, logger=logger, callbacks=[saver], enable_checkpointing=None).fit(
        Validated(lr=0.25), loader(), loader()
    )
    assert run.config == {"lr": 0.25, "dropout": 0.5}
    assert [row["trainer/global_step"] for row in run.rows if "p-val_loss" in row] == [9, 19]
    assert run.artifacts and all(name == "model-abc" for name, _ in run.artifacts)
    assert logger.version == "abc" and logger.name == "lightning_logs" and logger.save_dir == str(tmp_path)


@needs_wandb
def test_wandb_logs_media_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    monkeypatch.setenv("WANDB_SILENT", "true")
    logger = WandbLogger("run", tmp_path, offline=True, project="digits")

    class Pictures(Callback):
        def on_train_end(self, trainer: Any, pl_module: Any) -> None:
            trainer.logger.log_image("picture", [torch.rand(3, 4, 4)], caption=["noise"])
            trainer.logger.log_table("table", ["a", "b"], [[1, 2]])

    quiet(tmp_path, logger=logger, callbacks=[Pictures()], max_epochs=1).fit(Validated(), loader(), loader())
    assert "val_loss" in dict(logger.experiment.summary)
    wandb.finish()
    assert list((tmp_path / "wandb").glob("offline-run-*/*.wandb")) and os.path.isdir(tmp_path / "wandb")


@needs_wandb
def test_wandb_refuses_what_makes_no_sense() -> None:
    with pytest.raises(MisconfigurationException, match="leave one of them out"):
        WandbLogger(offline=True, log_model=True)
    logger = WandbLogger(experiment=Stub())
    with pytest.raises(TypeError, match="takes a list"):
        logger.log_image("k", torch.zeros(1))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must have 1 items"):
        logger.log_image("k", [torch.zeros(1)], caption=["a", "b"])


@needs_comet
def test_comet_keeps_metrics_parameters_and_layers_offline(tmp_path: Path) -> None:
    logger = CometLogger(online=False, offline_directory=str(tmp_path), project="digits", prefix="p")
    assert logger.version is None
    quiet(logger=logger, max_epochs=1).fit(Validated(lr=0.25), loader(), loader())
    assert logger.name == "digits" and logger.save_dir == str(tmp_path) and logger.version
    assert pickle.loads(pickle.dumps(logger)).version == logger.version
    logger.experiment.end()
    with zipfile.ZipFile(next(tmp_path.glob("*.zip"))) as archive:
        told = archive.read("messages.json").decode()
    assert '"metricName":"p_val_loss"' in told and '"step":9' in told and '"epoch":0' in told
    assert '"paramName":"lr","paramValue":0.25' in told and "Linear(in_features=8" in told


@needs_comet
def test_old_arguments_of_comet_are_taken(tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning, match="project_name=...\\) is called project= now"):
        logger = CometLogger(project_name="digits", online=False)
    assert logger.name == "digits"
    with pytest.warns(DeprecationWarning, match="is called offline_directory= now"):
        logger = CometLogger(save_dir=str(tmp_path), online=False)
    assert logger.save_dir == str(tmp_path)
