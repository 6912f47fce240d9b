"""What `Trainer(plugins=..., strategy=..., precision=...)` takes: clusters, checkpoint files, precisions, processes made by fork."""

from __future__ import annotations

import copy
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.runtime.models import Classifier, Validated, loader, quiet
from torch import Tensor, nn

from litify import LightningModule, MisconfigurationException, Trainer
from litify.callbacks import Callback, ModelCheckpoint
from litify.plugins import (
    AsyncCheckpointIO,
    CheckpointIO,
    HalfPrecision,
    LightningEnvironment,
    MixedPrecision,
    SLURMEnvironment,
    TorchCheckpointIO,
    TorchElasticEnvironment,
)
from litify.strategies import DDPStrategy, StrategyRegistry

LAUNCHERS = (
    "RANK",
    "WORLD_SIZE",
    "LOCAL_RANK",
    "LOCAL_WORLD_SIZE",
    "GROUP_RANK",
    "NODE_RANK",
    "MASTER_ADDR",
    "MASTER_PORT",
)


@pytest.fixture(autouse=True)
def launched_by_nobody(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in (*LAUNCHERS, *(name for name in os.environ if name.startswith("SLURM_"))):
        monkeypatch.delenv(name, raising=False)
    yield
    Trainer(accelerator="cpu", logger=False)  # forgets the rank that a strategy of the test told


# -- clusters ------------------------------------------------------------------------------------------------------------------

BY_HAND = {"LOCAL_RANK": "1", "NODE_RANK": "1"}
SLURM = {
    "SLURM_JOB_NAME": "train", "SLURM_LOCALID": "1", "SLURM_NODEID": "1", "SLURM_PROCID": "3", "SLURM_NTASKS": "4",
    "SLURM_NTASKS_PER_NODE": "2",
}  # fmt: skip
TORCHRUN = {"LOCAL_RANK": "1", "GROUP_RANK": "1", "RANK": "3", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}


@pytest.mark.parametrize(
    ("variables", "kind"),
    [(BY_HAND, LightningEnvironment), (SLURM, SLURMEnvironment), (TORCHRUN, TorchElasticEnvironment)],
)
def test_the_place_among_processes_is_read_from_the_launchers_variables(
    variables: dict[str, str], kind: type[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    trainer = Trainer(accelerator="cpu", devices=2, num_nodes=2, strategy="ddp", logger=False)
    strategy = trainer.strategy
    assert isinstance(strategy.cluster_environment, kind)
    assert (trainer.global_rank, trainer.local_rank, trainer.node_rank, trainer.world_size) == (3, 1, 1, 4)
    assert not trainer.is_global_zero


def test_an_interactive_slurm_job_is_no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**SLURM, "SLURM_JOB_NAME": "bash"}.items():
        monkeypatch.setenv(name, value)
    strategy = Trainer(accelerator="cpu", devices=2, strategy="ddp", logger=False).strategy
    assert type(strategy.cluster_environment) is LightningEnvironment
    assert not strategy.cluster_environment.creates_processes_externally


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("tux[5-7,9],other", "tux5"), ("alone", "alone"), ("a1,a2", "a1"), ("n[012-014]", "n012")],
)
def test_slurms_first_node_is_where_processes_meet(
    nodes: str, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_NODELIST", nodes)
    monkeypatch.setenv("SLURM_JOB_ID", "123456")
    assert (SLURMEnvironment().main_address, SLURMEnvironment().main_port) == (first, 18456)


def test_slurm_tasks_and_devices_must_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=r"devices=3.*--ntasks-per-node=2"):
        quiet(devices=3, strategy="ddp").fit(Classifier(), loader(8))


def test_a_worker_that_would_start_workers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(LightningEnvironment):
        @property
        def creates_processes_externally(self) -> bool:
            return False

    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(RuntimeError, match="creates_processes_externally"):
        quiet(devices=2, strategy="ddp", plugins=[Wrong()]).fit(Classifier(), loader(8))


def test_making_a_trainer_starts_no_process() -> None:
    trainer = Trainer(accelerator="cpu", devices=3, logger=False)
    assert isinstance(trainer.strategy, DDPStrategy)
    assert trainer.world_size == trainer.num_devices == 3 and trainer.global_rank == 0
    assert trainer.strategy.broadcast("same") == "same"


@pytest.mark.parametrize(
    "plugins", [[TorchCheckpointIO(), TorchCheckpointIO()], [LightningEnvironment(), SLURMEnvironment()]]
)
def test_two_plugins_of_a_kind(plugins: list[Any]) -> None:
    with pytest.raises(MisconfigurationException, match="has two of"):
        Trainer(plugins=plugins)


def test_something_that_is_no_plugin() -> None:
    with pytest.raises(MisconfigurationException, match="got a dict; it takes a Precision"):
        Trainer(plugins=[{}])


def test_a_strategy_under_a_name_of_its_own() -> None:
    kept = TorchCheckpointIO()
    StrategyRegistry.register("ddp_kept", DDPStrategy, "as ddp", checkpoint_io=kept)
    try:
        strategy = Trainer(strategy="ddp_kept", accelerator="cpu", devices=2, logger=False).strategy
    finally:
        StrategyRegistry.remove("ddp_kept")
    assert isinstance(strategy, DDPStrategy) and strategy.checkpoint_io is kept


# -- checkpoint files ---------------------------------------------------------------------------------------------------------------


class Noting(CheckpointIO):
    def __init__(self) -> None:
        self.calls: list[str] = []
        self.files = TorchCheckpointIO()

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        self.calls.append("save")
        self.files.save_checkpoint(checkpoint, path)

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        self.calls.append("load")
        return self.files.load_checkpoint(path, map_location, weights_only)

    def remove_checkpoint(self, path: Any) -> None:
        self.calls.append("remove")
        self.files.remove_checkpoint(path)


def test_all_checkpoints_go_through_the_plugin(tmp_path: Path) -> None:
    plugin = Noting()
    trainer = quiet(
        max_epochs=2, plugins=[plugin], callbacks=[ModelCheckpoint(tmp_path)], enable_checkpointing=True
    )
    trainer.fit(Classifier(), loader(8))
    assert plugin.calls == ["save", "save", "remove"]
    quiet(max_epochs=3, plugins=[plugin]).fit(
        Classifier(), loader(8), ckpt_path=trainer.checkpoint_callback.best_model_path
    )
    assert plugin.calls[3:] == ["load"]


class Slow(TorchCheckpointIO):
    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        time.sleep(0.05)
        super().save_checkpoint(checkpoint, path)


def test_asynchronous_writing_keeps_the_values_of_the_moment(tmp_path: Path) -> None:
    files, weight = AsyncCheckpointIO(Slow()), torch.zeros(2)
    files.save_checkpoint({"state_dict": {"weight": weight}}, tmp_path / "a.ckpt")
    weight += 1
    assert not (tmp_path / "a.ckpt").exists()
    assert torch.equal(files.load_checkpoint(tmp_path / "a.ckpt")["state_dict"]["weight"], torch.zeros(2))


def test_a_failed_asynchronous_write_is_raised(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    files = AsyncCheckpointIO()
    files.save_checkpoint({"state_dict": {}}, tmp_path / "file" / "a.ckpt")
    with pytest.raises(OSError):
        files.teardown()


# -- precisions -----------------------------------------------------------------------------------------------------------------------


def test_precisions_as_objects() -> None:
    assert MixedPrecision("16-mixed", "cpu").precision == "16-mixed"
    assert MixedPrecision("bf16-mixed", "cpu").precision == "bf16-mixed"
    assert HalfPrecision("bf16-true").dtype is torch.bfloat16
    trainer = quiet(plugins=[HalfPrecision("bf16-true")])
    trainer.fit(Classifier(), loader(8))
    assert trainer.precision == "bf16-true"
    for wrong in (
        lambda: MixedPrecision("16"),
        lambda: HalfPrecision("32"),
        lambda: MixedPrecision(scaler=object()),
    ):
        with pytest.raises(ValueError, match=r"pass|leave"):
            wrong()


def test_float16_on_a_cpu_only_for_who_insists() -> None:
    with pytest.warns(UserWarning, match="bf16-mixed is used"):
        trainer = quiet(precision=16)
    assert trainer.precision == "bf16-mixed"

    seen: list[torch.dtype] = []

    class Module(Classifier):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            out = self.net(batch[0])
            seen.append(out.dtype)
            return nn.functional.cross_entropy(out.float(), batch[1])

    trainer, module = quiet(plugins=[MixedPrecision("16-mixed", "cpu")]), Module(lr=0.01)
    trainer.fit(module, loader(12))
    assert trainer.precision == "16-mixed" and set(seen) == {torch.float16}
    assert all(value.isfinite().all() for value in module.state_dict().values())


def test_modules_made_for_the_trainer() -> None:
    with Trainer(accelerator="cpu", precision="64-true", logger=False).init_module():
        assert nn.Linear(2, 2).weight.dtype is torch.float64
    torch.manual_seed(0)
    before = torch.get_rng_state()
    with Trainer(accelerator="cpu", logger=False).init_module(empty_init=True):
        nn.Linear(2, 2)
    assert torch.equal(torch.get_rng_state(), before)  # nothing was drawn


# -- processes made from this one ---------------------------------------------------------------------------------------------------


class Ranked(Validated):
    def on_train_start(self) -> None:
        assert self.trainer.world_size == 2

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        self.log("rank", float(self.trainer.global_rank), on_step=False, on_epoch=True, sync_dist=True)
        return loss


class Failing(Classifier):
    def on_train_start(self) -> None:
        raise RuntimeError("as meant")


class Counts(Callback):
    count = 0

    def on_exception(self, *args: Any) -> None:
        self.count += 1


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp_spawn", "ddp_fork"])
def test_what_spawned_processes_did_comes_back(tmp_path: Path, strategy: str) -> None:
    torch.manual_seed(0)
    module = Ranked(dropout=0.0)
    before = [parameter.detach().clone() for parameter in module.parameters()]
    trainer = quiet(
        devices=2,
        strategy=strategy,
        max_epochs=2,
        callbacks=[ModelCheckpoint(tmp_path)],
        enable_checkpointing=True,
    )
    trainer.fit(module, loader(16))
    assert any(not torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))
    assert trainer.global_step == 4 and trainer.current_epoch == 2 and trainer.state.finished
    assert trainer.callback_metrics["rank"] == 0.5
    assert Path(trainer.checkpoint_callback.best_model_path).exists()
    found = trainer.validate(module, loader(16), verbose=False)
    assert set(found[0]) and trainer.state.finished


@pytest.mark.slow
def test_a_notebook_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    trainer, module = quiet(devices=2), Classifier()
    before = copy.deepcopy(module)
    trainer.fit(module, loader(16))
    assert trainer.global_step == 4 and trainer.strategy.start_method == "fork"
    assert not torch.equal(module.net[0].weight, before.net[0].weight)
    for strategy in ("ddp", "fsdp", "ddp_spawn"):
        with pytest.raises(
            MisconfigurationException, match="this is a notebook or a prompt: pass strategy='ddp_notebook'"
        ):
            quiet(devices=2, strategy=strategy)
    assert quiet(strategy="fsdp").world_size == 1


def test_predictions_of_forked_processes_are_not_returned_in_part() -> None:
    class Predicting(Classifier):
        def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
            return self.net(batch[0])

    trainer = quiet(devices=2, strategy="ddp_fork")
    assert trainer.predict(Predicting(), loader(8)) is None
    with pytest.raises(Exception, match="BasePredictionWriter"):
        trainer.predict(Predicting(), loader(8), return_predictions=True)


@pytest.mark.slow
def test_a_spawned_process_that_fails_is_told_here() -> None:
    counts = Counts()
    with pytest.raises(Exception, match="as meant"):
        quiet(devices=2, strategy="ddp_spawn", callbacks=[counts]).fit(Failing(), loader(16))
    assert counts.count == 1


# -- steps that fetch their batches -----------------------------------------------------------------------------------------------------


class Fetching(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)
        self.seen: list[tuple[float, int, int]] = []

    def training_step(self, dataloader_iter: Any) -> Tensor:
        batch, batch_idx, dataloader_idx = next(dataloader_iter)
        self.seen.append((batch[0, 0].item(), batch_idx, dataloader_idx))
        return self.layer(batch).sum()

    def validation_step(self, dataloader_iter: Any) -> None:
        batch, batch_idx, dataloader_idx = next(dataloader_iter)
        self.seen.append((-batch[0, 0].item(), batch_idx, dataloader_idx))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_a_step_may_fetch_its_batches_itself() -> None:
    module = Fetching()
    batches = [torch.full((1, 2), float(value)) for value in (1, 2, 3)]
    trainer = quiet(max_epochs=1, limit_train_batches=2, num_sanity_val_steps=0)
    trainer.fit(module, batches, {"one": batches[:1], "other": batches[1:]})
    assert module.seen == [(1.0, 0, 0), (2.0, 1, 0), (-1.0, 0, 0), (-2.0, 0, 1), (-3.0, 1, 1)]
    assert trainer.global_step == 2


class Gathering(Validated):
    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.all_gather(batch[0].mean())


@pytest.mark.slow
def test_an_exchange_in_a_batch_that_others_have_not_is_refused_and_does_not_hang() -> None:
    trainer = quiet(devices=2, strategy="ddp_fork")
    trainer.validate(Gathering(), loader(4, 1), verbose=False)  # two batches each
    with pytest.raises(Exception, match="Rank 0 has an evaluation batch more than others"):
        trainer.validate(Gathering(), loader(3, 1), verbose=False)
