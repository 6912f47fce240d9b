"""A training killed with SIGKILL, again and again, and resumed each time from its newest checkpoint, ends bit for bit as one left alone."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.runtime.killed import train
from tests.runtime.models import Classifier, loader, quiet
from torch import nn

from litify.callbacks import ModelCheckpoint
from litify.errors import CheckpointError

KILLS = int(os.environ.get("LITIFY_TEST_KILLS", "12"))
"""Per case; 50 for a thorough run."""

CASES = {
    "shuffled": ("shuffled", {}, False),
    "validation within the epoch": ("shuffled", {"val_check_interval": 2, "gradient_clip_val": 0.5}, False),
    "accumulation half done": ("shuffled", {"accumulate_grad_batches": 2}, True),
    "worker processes": ("workers", {}, False),
    "stream": ("stream", {}, True),
}


def run(folder: Path, kind: str, options: dict[str, Any], every_batch: bool, fatal: int) -> int | None:
    """In a process of its own; returns its exit code."""
    context = multiprocessing.get_context(
        "forkserver"
    )  # starts in no time, torch loaded, with nothing of the test's state
    context.set_forkserver_preload(
        ["torch", "torch._dynamo", "litify.trainer"]
    )  # what can be imported from anywhere
    process = context.Process(target=train, args=(folder, kind, options, every_batch, fatal))
    process.start()
    process.join(120)
    with contextlib.suppress(ProcessLookupError):  # worker processes, of which SIGKILL made orphans
        os.killpg(process.pid, signal.SIGKILL)
    assert process.exitcode is not None, "it hangs"
    return process.exitcode


def assert_same(one: Any, other: Any, where: str = "") -> None:
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_same(one[key], other[key], f"{where}/{key}")
    elif isinstance(one, list):
        for index, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f"{where}/{index}")
    else:
        assert one == other, where


@pytest.mark.slow
@pytest.mark.timeout(60 + 30 * KILLS)
@pytest.mark.parametrize("case", CASES)
def test_killed_again_and_again_ends_the_same(tmp_path: Path, case: str) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run(whole, *CASES[case], fatal=0) == 0
    expected = torch.load(whole / "final.pt")
    draw = random.Random(case)
    kills = 0
    for _ in range(KILLS):
        code = run(killed, *CASES[case], fatal=draw.randint(1, max(12, 720 // KILLS)))
        if code == 0:  # the end was reached first
            break
        assert code == -signal.SIGKILL
        kills += 1
    else:
        assert run(killed, *CASES[case], fatal=0) == 0
    assert kills >= min(KILLS, 3)
    found = torch.load(killed / "final.pt")
    for key in ("step", "weights", "optimizer"):
        assert_same(found[key], expected[key], key)
    left = sorted(path.name for path in killed.glob(".*.tmp"))
    assert len(left) <= kills  # at most one for each time it was killed while writing


class Wider(Classifier):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(8, 5)


def keeping(folder: Path) -> ModelCheckpoint:
    return ModelCheckpoint(folder, save_last=True, save_top_k=-1)


DAMAGES = {
    "cut short": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "garbage": lambda content: bytes(len(content)),
    "a byte changed": lambda content: content[:-3000] + bytes([content[-3000] ^ 1]) + content[-2999:],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_is_used(tmp_path: Path, damage: str) -> None:
    quiet(max_epochs=2, callbacks=[keeping(tmp_path)], enable_checkpointing=True).fit(
        Classifier(), loader(20)
    )
    newest, before = tmp_path / "last.ckpt", tmp_path / "epoch=1-step=10.ckpt"
    newest.write_bytes(DAMAGES[damage](newest.read_bytes()))
    untouched = before.read_bytes()
    trainer = quiet(max_epochs=3, callbacks=[keeping(tmp_path)], enable_checkpointing=True)
    with pytest.warns(
        UserWarning, match=r"last\.ckpt: .*damaged.*The one before it is tried: .*epoch=1-step=10\.ckpt"
    ):
        trainer.fit(Classifier(), loader(20), ckpt_path="last")
    assert trainer.resumed_from == str(before) and trainer.global_step == 15
    assert before.read_bytes() == untouched
    with pytest.raises(CheckpointError, match=r"bad\.ckpt: .*damaged"):
        bad = tmp_path / "bad.ckpt"
        bad.write_bytes(DAMAGES[damage](untouched))
        quiet().fit(Classifier(), loader(20), ckpt_path=bad)


def test_where_no_checkpoint_is_whole_nothing_is_trained(tmp_path: Path) -> None:
    quiet(max_epochs=1, callbacks=[keeping(tmp_path)], enable_checkpointing=True).fit(
        Classifier(), loader(20)
    )
    for path in tmp_path.glob("*.ckpt"):
        path.write_bytes(b"")
    trainer = quiet(max_epochs=3, callbacks=[keeping(tmp_path)], enable_checkpointing=True)
    with pytest.warns(UserWarning, match="damaged"), pytest.raises(CheckpointError, match="damaged"):
        trainer.fit(Classifier(), loader(20), ckpt_path="last")
    assert trainer.global_step == 0


def test_a_newest_checkpoint_of_another_model_is_named_and_the_one_before_is_used(tmp_path: Path) -> None:
    quiet(max_epochs=1, callbacks=[keeping(tmp_path)], enable_checkpointing=True).fit(
        Classifier(), loader(20)
    )
    other = quiet(max_epochs=1)
    other.fit(Wider(), loader(20))
    other.save_checkpoint(tmp_path / "last.ckpt")
    trainer = quiet(max_epochs=2, callbacks=[keeping(tmp_path)], enable_checkpointing=True)
    with pytest.warns(UserWarning, match=r"last\.ckpt: its weights are not those of Classifier"):
        trainer.fit(Classifier(), loader(20), ckpt_path="last")
    assert trainer.global_step == 10


def test_a_full_disk_ends_training_and_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    """RLIMIT_FSIZE: a write beyond it fails as on a full disk, with an OSError."""
    code = f"""
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from tests.runtime.models import Classifier, loader, quiet
from tests.runtime.test_resume_killed import keeping
from pathlib import Path
from litify import Callback
class Full(Callback):
    def on_train_epoch_start(self, trainer, module):
        if trainer.current_epoch == 1:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
quiet(max_epochs=3, callbacks=[keeping(Path({str(tmp_path)!r})), Full()], enable_checkpointing=True).fit(Classifier(), loader(20))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 1
    assert "epoch=1-step=10.ckpt: cannot be written" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch=0-step=5.ckpt", "last.ckpt"]
    resumed = quiet(max_epochs=2, callbacks=[keeping(tmp_path)], enable_checkpointing=True)
    resumed.fit(Classifier(), loader(20), ckpt_path="last")
    assert resumed.global_step == 10
