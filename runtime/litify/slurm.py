"""What SLURM tells the processes of a job by its environment variables (srun(1), sbatch(1))."""

from __future__ import annotations

import os
import re

INTERACTIVE = ("bash", "interactive")
"""Job names of shells (`srun --pty bash`): what runs in them was not started by srun, whatever the variables say."""


def is_task() -> bool:
    """Whether this process belongs to a job with tasks of its own, and not to an interactive shell."""
    return "SLURM_NTASKS" in os.environ and os.environ.get("SLURM_JOB_NAME") not in INTERACTIVE


def tasks() -> int:
    """Number of processes that srun started, on all nodes."""
    return _number("SLURM_NTASKS", 1)


def nodes() -> int:
    """Number of machines that they are on."""
    return _number("SLURM_STEP_NUM_NODES", _number("SLURM_NNODES", 1))


def tasks_per_node() -> int:
    """Number of processes on this node; of "2(x3),1" the first, as `--ntasks-per-node` makes them all alike."""
    if os.environ.get("SLURM_NTASKS_PER_NODE", "").isdigit():
        return int(os.environ["SLURM_NTASKS_PER_NODE"])
    listed = re.match(r"\d+", os.environ.get("SLURM_STEP_TASKS_PER_NODE", ""))
    return int(listed[0]) if listed else max(1, tasks() // nodes())


def rank() -> int:
    """This process among all."""
    return _number("SLURM_PROCID", 0)


def local_rank() -> int:
    """This process among those of its node."""
    return _number("SLURM_LOCALID", 0)


def node_rank() -> int:
    """This node among all."""
    return _number("SLURM_NODEID", 0)


def first_node() -> str:
    """Where rank 0 runs: of "tux[5-7,9],other" it is tux5."""
    listed = (
        os.environ.get(name) for name in ("SLURM_STEP_NODELIST", "SLURM_NODELIST", "SLURM_JOB_NODELIST")
    )
    nodes = next(filter(None, listed), "127.0.0.1")
    return re.sub(r"\[(\d+)[^\]]*\]", r"\1", nodes).partition(",")[0].split()[0]


def port() -> int:
    """From the job's number, so that all tasks find the same, and two jobs on a node rarely do."""
    return 15000 + int(os.environ.get("SLURM_JOB_ID", "0")[-4:])


def job() -> str | None:
    """What `scontrol` calls this job: its number, or "array_task"; None outside of jobs and in interactive ones."""
    if "SLURM_JOB_ID" not in os.environ or os.environ.get("SLURM_JOB_NAME") in INTERACTIVE:
        return None
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdigit() else default
