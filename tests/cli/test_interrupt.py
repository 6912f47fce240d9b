"""Ctrl-C while training: one clear line, exit code 130, a checkpoint that training goes on from, nothing lost."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """\
import sys
import time

import torch
from litify import LightningModule, Trainer
from torch import nn


class Slow(LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(4, 1)

    def training_step(self, batch, batch_idx):
        print("step", self.global_step, flush=True)
        time.sleep(0.02)
        return self.net(batch).pow(2).mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


if __name__ == "__main__":
    torch.manual_seed(0)
    loader = torch.utils.data.DataLoader(torch.randn(400, 4), batch_size=4)
    trainer = Trainer(max_epochs=int(sys.argv[1]), enable_progress_bar=False, accelerator="cpu")
    trainer.fit(Slow(), loader, ckpt_path=sys.argv[2] if len(sys.argv) > 2 else None)
    print("finished at", trainer.global_step, flush=True)
"""


@pytest.mark.slow
def test_interrupted_training_keeps_a_checkpoint_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "litify", "run", "slow.py", "--"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*command, "100"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == "step 5":
            break
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "finished" not in out

    kept = list(tmp_path.rglob("*.ckpt"))
    assert len(kept) == 1, kept
    assert not list(tmp_path.rglob("*.tmp"))
    assert kept[0].name in err + out, "the message names the checkpoint"

    import torch

    at = torch.load(kept[0], weights_only=True)["global_step"]
    assert at > 5
    done = subprocess.run(
        [*command, "3", str(kept[0])],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    steps = [int(n) for n in re.findall(r"^step (\d+)$", done.stdout, re.MULTILINE)]
    assert steps[0] == at, "goes on where it stopped"
    assert "finished at 300" in done.stdout
