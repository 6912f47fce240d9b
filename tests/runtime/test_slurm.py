"""Jobs of SLURM: ranks and meeting point from its variables; at the time limit a checkpoint, `scontrol requeue`, and on from there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from litify import launch, slurm

STAND_IN = Path(__file__).with_name("slurm_stand_in.py")
SCRIPT = """
import os, sys, time
import torch
from torch import nn
from litify import LightningModule, Trainer
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0"))))  # dropout of its own for each rank
data = TensorDataset(torch.arange(256.0).view(64, 4) / 256, torch.ones(64, 1))


class Net(LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))

    def training_step(self, batch, batch_idx):
        time.sleep(0.02)
        loss = nn.functional.mse_loss(self.net(batch[0]), batch[1])
        self.log("loss", loss)
        return loss

    def on_train_batch_end(self, outputs, batch, batch_idx):
        if self.global_rank == 0:
            os.write(1, f"step {self.trainer.state.total_batches}\\n".encode())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)


trainer = Trainer(
    devices=2, accelerator="cpu", max_epochs=2, accumulate_grad_batches=2, enable_progress_bar=False, default_root_dir=sys.argv[1]
)
model = Net()
trainer.fit(model, DataLoader(data, 2, shuffle=True))
if trainer.is_global_zero:
    place = trainer.strategy.cluster_environment
    torch.save(
        {
            "weights": model.state_dict(), "from": trainer.resumed_from, "steps": trainer.global_step, "world": trainer.world_size,
            "environment": type(place).__name__, "dir": trainer.logger.log_dir,
        },
        sys.argv[1] + "/result.pt",
    )
"""


def job(
    folder: Path, tasks: int, command: list[str], signal_at: int, **more: str
) -> tuple[dict[str, Any], str, str]:
    """Run the script as a job of the stand-in; what it wrote at its end, and what was said."""
    folder.mkdir()
    (folder / "train.py").write_text(SCRIPT)
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LITIFY_", "PET_", "SLURM_"))
    }
    done = subprocess.run(
        [sys.executable, str(STAND_IN), str(folder), str(tasks), *command, str(folder / "train.py"), *(["--"] if "run" in command else []), str(folder)],
        capture_output=True, text=True, env={**clean, "SIGNAL_AT": str(signal_at), **more}, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return torch.load(folder / "result.pt"), done.stdout, done.stderr


@pytest.mark.slow
def test_at_the_time_limit_a_job_is_requeued_and_goes_on_exactly(tmp_path: Path) -> None:
    """Two tasks of srun, and one task whose launcher starts two processes, end as a job that is not requeued: bit for bit."""
    tasks, _, said = job(tmp_path / "tasks", 2, [sys.executable], 21)
    launcher, out, _ = job(tmp_path / "launcher", 1, [sys.executable, "-m", "litify", "run"], 21)
    whole, told, refused = job(tmp_path / "whole", 2, [sys.executable], 21, REFUSE="1")

    assert refused.count("SLURM does not requeue this job (Requeue is disabled): training goes on") == 1
    assert told.count("codes") == 1 and whole["from"] is None
    assert list((tmp_path / "whole").glob("slurm_4242/hpc_ckpt_1.ckpt")), "the checkpoint is kept"

    assert said.count("litify: time limit near: saved ") == 1 and "job 4242 is requeued" in said
    assert f"codes {launch.REQUEUED}\n" in out, "the launcher says that the job is not done"
    assert tasks["environment"] == "SLURMEnvironment" and launcher["environment"] == "TorchElasticEnvironment"
    for name, result in (("tasks", tasks), ("launcher", launcher)):
        assert (tmp_path / name / "scontrol.log").read_text() == "requeue 4242\n"
        assert Path(result["from"]).name == "hpc_ckpt_1.ckpt"
        assert result["world"] == 2 and result["steps"] == whole["steps"] == 16
        assert result["dir"].endswith("version_4242"), "the requeued job writes on where it wrote before"
        for key, value in whole["weights"].items():
            assert torch.equal(value, result["weights"][key]), key


@pytest.fixture
def no_job(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    return monkeypatch


@pytest.mark.parametrize(
    ("variables", "per_node"),
    [
        ({"SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NNODES": "2"}, 2),
        ({"SLURM_NTASKS": "7", "SLURM_STEP_TASKS_PER_NODE": "2(x3),1", "SLURM_NNODES": "4"}, 2),
        ({"SLURM_NTASKS": "4", "SLURM_NNODES": "4"}, 1),
        ({"SLURM_NTASKS": "4"}, 4),
    ],
)
def test_tasks_of_a_node(no_job: pytest.MonkeyPatch, variables: dict[str, str], per_node: int) -> None:
    for name, value in variables.items():
        no_job.setenv(name, value)
    assert slurm.tasks_per_node() == per_node


def test_the_name_that_scontrol_knows(no_job: pytest.MonkeyPatch) -> None:
    assert slurm.job() is None
    no_job.setenv("SLURM_JOB_ID", "12")
    assert slurm.job() == "12"
    no_job.setenv("SLURM_ARRAY_JOB_ID", "10")
    no_job.setenv("SLURM_ARRAY_TASK_ID", "2")
    assert slurm.job() == "10_2"
    no_job.setenv("SLURM_JOB_NAME", "interactive")
    assert slurm.job() is None


def test_one_task_per_node_starts_its_processes_and_meets_at_the_first(no_job: pytest.MonkeyPatch) -> None:
    variables = {"SLURM_NTASKS": "2", "SLURM_NNODES": "2", "SLURM_NODEID": "1", "SLURM_JOB_ID": "987654"}
    for name, value in {**variables, "SLURM_JOB_NODELIST": "gpu[07-08]"}.items():
        no_job.setenv(name, value)
    cluster = launch.Cluster(2).with_slurm()
    assert cluster == launch.Cluster(2, node_rank=1, rdzv_endpoint="gpu07:22654")
    cluster.check()
    told = launch.Cluster(2, 0, "host:1")
    assert told.with_slurm() == told and launch.Cluster(1).with_slurm() == launch.Cluster(1)
