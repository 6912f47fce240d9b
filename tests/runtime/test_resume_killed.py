"""A training killed with SIGKILL, again and again, and resumed each time from its newest checkpoint, ends bit for bit as one left alone."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.runtime.killed import train

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
    context = multiprocessing.get_context("forkserver")  # starts in no time, torch loaded, with nothing of the test's state
    context.set_forkserver_preload(["tests.runtime.killed"])
    process = context.Process(target=train, args=(folder, kind, options, every_batch, fatal))
    process.start()
    process.join(120)
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
@pytest.mark.parametrize("case", CASES)
def test_killed_again_and_again_ends_the_same(tmp_path: Path, case: str) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run(whole, *CASES[case], fatal=0) == 0
    expected = torch.load(whole / "final.pt")
    draw = random.Random(case)
    kills = 0
    for _ in range(KILLS):
        code = run(killed, *CASES[case], fatal=draw.randint(1, 60))
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


DAMAGES = {
    "cut short": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "garbage": lambda content: bytes(len(content)),
    "a byte changed": lambda content: content[:-3000] + bytes([content[-3000] ^ 1]) + content[-2999:],
}
