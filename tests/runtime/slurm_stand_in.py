"""A stand-in for SLURM: starts tasks with the variables that srun sets, sends the signal of the time limit, and requeues.

    python slurm_stand_in.py FOLDER TASKS COMMAND...

Each task prints a line "step N" when it likes; at the N in $SIGNAL_AT the tasks are sent SIGUSR1, one after another. `scontrol requeue`
is a program in FOLDER that only notes the job's number; when the tasks have ended and it was noted, all start again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

SCONTROL = """#!/bin/sh
echo "$@" >> "$STAND_IN/scontrol.log"
if [ -n "$REFUSE" ]; then echo "Requeue is disabled" >&2; exit 1; fi
touch "$STAND_IN/requeue"
"""


def run(folder: Path, tasks: int, command: list[str]) -> int:
    """The job, as often as it is requeued; returns the exit code of the last task that failed, or 0."""
    scontrol = folder / "scontrol"
    scontrol.write_text(SCONTROL)
    scontrol.chmod(0o755)
    codes = [0]
    for restart in range(3):
        codes = step(folder, tasks, command, restart)
        print("codes", *codes, flush=True)
        if not (folder / "requeue").exists():
            break
        (folder / "requeue").unlink()
    return max(codes)


def step(folder: Path, tasks: int, command: list[str], restart: int) -> list[int]:
    """One run of all tasks; their exit codes."""
    common = {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "STAND_IN": str(folder), "OMP_NUM_THREADS": "1",
        "SLURM_JOB_ID": "4242", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": str(tasks), "SLURM_NNODES": "1",
        "SLURM_NTASKS_PER_NODE": str(tasks), "SLURM_NODEID": "0", "SLURM_JOB_NODELIST": "localhost",
        "SLURM_RESTART_COUNT": str(restart),
    }  # fmt: skip
    started = [
        subprocess.Popen(
            command,
            env={**os.environ, **common, "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)},
            stdout=subprocess.PIPE if rank == 0 else None,
            text=True,
        )
        for rank in range(tasks)
    ]
    assert started[0].stdout is not None
    for line in started[0].stdout:
        print(line, end="", flush=True)
        if restart == 0 and line.strip() == f"step {os.environ['SIGNAL_AT']}":
            for task in started:
                task.send_signal(signal.SIGUSR1)
                time.sleep(0.05)  # a step or two
    return [task.wait() for task in started]


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
