"""Starting processes: from Python, by an outside torchrun, with failures, restarts and Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from litify import flags, launch

STARTS = int(os.environ.get("LITIFY_TEST_STARTS", "2"))
"""In a row; 50 for a thorough run."""

# A script whose Trainer asks for processes itself; what it does beyond is set by its arguments.
SCRIPT = """
import os, sys, time
import torch
from torch.utils.data import DataLoader
from litify import LightningModule, Trainer


class Net(LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch, batch_idx):
        if "fail" in sys.argv and self.global_rank == 1 and batch_idx == 1:
            raise ArithmeticError("rank one is lost")
        if "fail-once" in sys.argv and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
            sys.exit(7)
        if "wait" in sys.argv:
            if batch_idx == 0:
                os.write(1, f"waiting {os.getpid()}\\n".encode())  # at once: the processes share the pipe
            time.sleep(0.1)
        return self.layer(batch).mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


trainer = Trainer(
    devices=int(sys.argv[1]), accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False,
    enable_progress_bar=False, enable_model_summary=False,
)
trainer.fit(Net(), DataLoader(torch.ones(4000 if "wait" in sys.argv else 8, 4), batch_size=2))
line = f"rank {trainer.global_rank} of {trainer.world_size} threads {os.environ.get('OMP_NUM_THREADS')} {sys.argv[1:]}"
os.write(1, f"{line}\\n".encode())
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    return path


def environment(**more: str) -> dict[str, str]:
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("LITIFY_", "PET_", "OMP_"))
    }
    return {**inherited, **more}


def start(*command: object, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *map(str, command)], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(**more)
    )  # fmt: skip


def waiting(launcher: subprocess.Popen[str]) -> list[int]:
    """The workers' process ids, once both are training."""
    assert launcher.stdout is not None
    lines = [launcher.stdout.readline() for _ in range(2)]
    assert all(line.startswith("waiting ") for line in lines), finish(launcher)
    return [int(line.split()[1]) for line in lines]


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.mark.slow
def test_plain_python_starts_its_own_processes(script: Path) -> None:
    """`python train.py` with Trainer(devices=2): the same command line in each, cores shared out, no banner."""
    code, out, err = finish(start(script, 2, "more"))
    threads = max(1, len(os.sched_getaffinity(0)) // 2)
    assert (code, sorted(out.splitlines())) == (
        0,
        [f"rank {r} of 2 threads {threads} ['2', 'more']" for r in range(2)],
    ), err
    assert "OMP_NUM_THREADS" not in err


@pytest.mark.slow
def test_an_outside_torchrun_works_too(script: Path) -> None:
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2]
    code, out, err = finish(start(*torchrun, script, 2, OMP_NUM_THREADS="1"))
    assert (code, len(out.splitlines())) == (0, 2), err
    assert "rank 1 of 2" in out


@pytest.mark.slow
@pytest.mark.timeout(60 + 60 * STARTS)
def test_starts_in_a_row_find_free_ports(script: Path) -> None:
    """Each ends with both processes done: no port that is still taken, nobody who waits for ever."""
    for start_number in range(STARTS):
        code, out, err = finish(start("-m", "litify", "run", script, "--num-processes", 2, "--", 2))
        assert (code, out.count(" of 2 ")) == (0, 2), f"start {start_number}: {err}"


@pytest.mark.slow
def test_the_failing_workers_traceback_comes_first_and_alone(script: Path) -> None:
    code, out, err = finish(
        start("-m", "litify", "run", script, "--devices", 2, "--accelerator", "cpu", "--", 2, "fail")
    )
    lines = err.splitlines()
    assert code == 1 and out == ""
    assert lines[0] == "litify: rank 1 failed:" and lines[1].startswith("Traceback"), err
    assert err.count("Traceback") == 1
    assert "ArithmeticError: rank one is lost" in lines
    assert lines[-1].startswith("litify: rank 1 (process ") and lines[-1].endswith("the others were stopped")


@pytest.mark.slow
def test_a_killed_worker_is_named_and_ends_all(script: Path) -> None:
    launcher = start("-m", "litify", "run", script, "--", 2, "wait")
    workers = waiting(launcher)
    os.kill(workers[1], signal.SIGKILL)
    code, _, err = finish(launcher)
    assert code == 128 + signal.SIGKILL
    assert (
        "Traceback" not in err and "was ended by SIGKILL; the others were stopped" in err.splitlines()[-1]
    ), err
    assert not alive(workers[0])


@pytest.mark.slow
def test_failed_workers_start_again_when_allowed(script: Path) -> None:
    command = ["-m", "litify", "run", script, "--max-restarts", 1, "--", 2, "fail-once"]
    code, out, err = finish(start(*command))
    assert code == 0 and "rank 1 of 2" in out, err
    assert "litify: a worker failed; all were started again (1 of 1)" in err


@pytest.mark.slow
def test_ctrl_c_on_the_launcher_leaves_no_process(script: Path) -> None:
    launcher = start("-m", "litify", "run", script, "--", 2, "wait")
    workers = waiting(launcher)
    launcher.send_signal(signal.SIGINT)
    code, _, err = finish(launcher)
    assert code == 130
    assert err.splitlines().count("litify: interrupted") == 1 and "Traceback" not in err, err
    assert not any(alive(worker) for worker in workers)


@pytest.mark.slow
@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux tells a process that its parent died"
)
def test_a_killed_launcher_leaves_no_process(script: Path) -> None:
    launcher = start("-m", "litify", "run", script, "--", 2, "wait")
    workers = waiting(launcher)
    launcher.kill()
    finish(launcher)
    deadline = time.monotonic() + 20
    while any(alive(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(alive(worker) for worker in workers)


def alive(process: int) -> bool:
    """Whether a process runs; one that ended and was not yet waited for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_prompt_cannot_start_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    with pytest.raises(RuntimeError, match=r"2 processes need a script .* `litify run FILE`"):
        launch.ensure_launched(2)
    launch.ensure_launched(1)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (
            {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "1"},
            (3, 4, 1, 2, 1),
        ),
        ({"RANK": "1", "WORLD_SIZE": "2"}, (1, 2, 1, 2, 0)),
        ({"RANK": "1"}, None),
        ({}, None),
    ],
)
def test_a_workers_place_is_read_from_torchruns_variables(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: tuple[int, ...] | None
) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert launch.world() == (None if expected is None else launch.World(*expected))


def test_a_rank_outside_the_world_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="RANK=2 lies outside WORLD_SIZE=2"):
        launch.world()


def test_flags_lie_over_the_scripts_arguments_in_every_spelling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(flags.VARIABLE, '{"devices": 2, "accelerator": "cpu", "ckpt_path": "a.ckpt"}')
    assert flags.given() == {"devices": 2, "accelerator": "cpu"}
    assert flags.over({"gpus": 4, "max_epochs": 3}) == {"devices": 2, "accelerator": "cpu", "max_epochs": 3}
    assert flags.ckpt_path() == "a.ckpt"


def test_flags_that_are_no_json_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(flags.VARIABLE, "--gpus 2")
    with pytest.raises(ValueError, match=f"{flags.VARIABLE} holds no JSON"):
        flags.given()
