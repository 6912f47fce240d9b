"""Processes: which one this is, which are to be started, and starting them.

Workers are started by torchrun's elastic agent (`torch.distributed.launcher.api`), one per device. Each worker is this
very command once more (`sys.orig_argv`), with RANK, LOCAL_RANK, WORLD_SIZE ... in its environment: what a script does
before `fit` happens in every worker, as under `torchrun`. The process that starts them only waits, and leaves with the
exit code of the worker that failed first, or 0.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import tempfile
import time
import traceback
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from litify import slurm
from litify.errors import WorkersDone

STARTED_IN = (
    os.getcwd()
)  # a script may change its folder before `fit`; the command line is relative to this one

INTERRUPTED = 130  # 128 + SIGINT
REQUEUED = 75  # EX_TEMPFAIL of sysexits.h: not done, to be tried again


@dataclass(frozen=True)
class World:
    """Where this process stands among those that train together, as torchrun's environment variables tell."""

    rank: int
    size: int
    local_rank: int
    local_size: int
    node_rank: int


def world() -> World | None:
    """This worker's place, or None in a process that nobody launched as a worker.

    RANK and WORLD_SIZE alone are enough; without LOCAL_RANK all processes are taken to be on one node.

    Raises:
        ValueError: one of the variables is not a number, or the rank lies outside the world.
    """
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        return None

    def number(name: str, default: int | None = None) -> int:
        text = os.environ.get(name, "" if default is None else str(default))
        if not text.isdigit():
            raise ValueError(
                f"environment variable {name}={text!r} is not a number; unset RANK and WORLD_SIZE"
            )
        return int(text)

    rank, size = number("RANK"), number("WORLD_SIZE")
    if not rank < size:
        raise ValueError(
            f"RANK={rank} lies outside WORLD_SIZE={size}; unset both, or start with `litify run`"
        )
    local_rank = number("LOCAL_RANK", rank)
    return World(rank, size, local_rank, number("LOCAL_WORLD_SIZE", size), number("GROUP_RANK", 0))


@dataclass(frozen=True)
class Cluster:
    """What cannot be said in `Trainer(...)`: how nodes find each other and how often failed workers start anew."""

    num_nodes: int = 1
    node_rank: int | None = None
    """0 to num_nodes - 1; None lets the nodes' agents agree on it."""
    rdzv_endpoint: str = ""
    """host:port of node 0, reachable from all; not needed for one node, which finds a free port."""
    max_restarts: int = 0

    # torchrun's own names, so that an environment made for it serves here.
    VARIABLES = {
        "num_nodes": "PET_NNODES",
        "node_rank": "PET_NODE_RANK",
        "rdzv_endpoint": "PET_RDZV_ENDPOINT",
        "max_restarts": "PET_MAX_RESTARTS",
    }

    @classmethod
    def from_environment(cls, num_nodes: int = 1) -> Cluster:
        """What `to_environment` of `litify run` left; the number of nodes is the Trainer's."""
        node_rank = os.environ.get(cls.VARIABLES["node_rank"])
        return cls(
            num_nodes=num_nodes,
            node_rank=None if node_rank is None else int(node_rank),
            rdzv_endpoint=os.environ.get(cls.VARIABLES["rdzv_endpoint"], ""),
            max_restarts=int(os.environ.get(cls.VARIABLES["max_restarts"], "0")),
        )

    def with_slurm(self) -> Cluster:
        """With what SLURM tells where nothing was said: this node's rank and a meeting point, under one task per node."""
        if self.num_nodes == 1 or self.rdzv_endpoint or not slurm.is_task():
            return self
        meet = f"{slurm.first_node()}:{slurm.port()}"
        return replace(self, node_rank=slurm.node_rank(), rdzv_endpoint=meet)

    def to_environment(self) -> None:
        """Leave the choices for `from_environment`, when the script's Trainer is the one that starts processes."""
        for field, variable in self.VARIABLES.items():
            value = getattr(self, field)
            if value not in (None, "", 0):
                os.environ[variable] = str(value)

    def check(self) -> None:
        """Refuse, before any process starts, what could only wait for ever.

        Raises:
            ValueError: several nodes without an endpoint, or a node rank outside the nodes.
        """
        if self.num_nodes > 1 and ":" not in self.rdzv_endpoint:
            raise ValueError(
                f"{self.num_nodes} nodes need a meeting point: on every node add "
                "--node-rank R --rdzv-endpoint HOST:PORT, with the address of node 0"
            )
        if self.node_rank is not None and not 0 <= self.node_rank < self.num_nodes:
            raise ValueError(f"node rank {self.node_rank} lies outside 0..{self.num_nodes - 1}")


def ensure_launched(processes: int, num_nodes: int = 1) -> None:
    """Return in a worker, or where one process is enough; else start the workers, wait, and leave with their exit code.

    Args:
        processes: how many on this node, one per device.
        num_nodes: how many nodes run this same call.

    Raises:
        WorkersDone: a SystemExit, in the process that started the workers, always, with the exit code for the whole.
        RuntimeError: there is no command that could be started again (a notebook, an interactive session).
        ValueError: the nodes cannot find each other (see `Cluster.check`).
    """
    if world() is not None:
        enter_worker()
        return
    if processes * num_nodes == 1:
        return
    main = sys.modules.get("__main__")
    if getattr(main, "__file__", None) is None or hasattr(sys, "ps1"):
        raise RuntimeError(
            f"{processes} processes need a script that can be started again; from a notebook or a prompt "
            "use Trainer(strategy='ddp_notebook'), or save the code as a file and use `litify run FILE`"
        )
    raise WorkersDone(launch(processes, Cluster.from_environment(num_nodes).with_slurm()))


def this_command() -> list[str]:
    """The command line of this process, interpreter and its options included."""
    return [sys.executable, *sys.orig_argv[1:]]


def launch(processes: int, cluster: Cluster, command: Sequence[str] | None = None) -> int:
    """Start `command` once per device under the elastic agent and wait for all.

    Args:
        processes: how many on this node.
        cluster: nodes and restarts.
        command: program and arguments; default `this_command()`.

    Returns:
        The exit code for the whole: 0, that of the worker which failed first, or 130 after Ctrl-C.
    """
    cluster.check()
    program, *arguments = command or this_command()
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, _cores() // processes)))
    os.chdir(STARTED_IN)
    sys.stdout.flush()
    with tempfile.TemporaryDirectory(prefix="litify_workers_") as folder:
        try:
            return _run_agent(processes, cluster, folder, program, arguments)
        except KeyboardInterrupt:  # before the agent watched signals: no worker had started
            return _interrupted()


def _run_agent(processes: int, cluster: Cluster, folder: str, program: str, arguments: list[str]) -> int:
    # Imported here: two seconds that a worker, or a run with one process, need not spend.
    import logging

    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, launch_agent

    if (
        "LOGLEVEL" not in os.environ
    ):  # the agent tells of each signal and failure at length; one line of ours will do
        for name in [
            name for name in logging.root.manager.loggerDict if name.startswith("torch.distributed.elastic")
        ]:
            logging.getLogger(name).setLevel(logging.CRITICAL)
    one_node = cluster.num_nodes == 1
    static = not one_node and cluster.node_rank is not None
    config = LaunchConfig(
        min_nodes=cluster.num_nodes,
        max_nodes=cluster.num_nodes,
        nproc_per_node=processes,
        run_id=(
            uuid.uuid4().hex if one_node else "litify"
        ),  # agents with the same id at an endpoint are one job
        rdzv_backend="static" if static else "c10d",
        rdzv_endpoint="localhost:0" if one_node else cluster.rdzv_endpoint,  # port 0: any free one
        rdzv_configs={"rank": cluster.node_rank} if static else {},
        max_restarts=cluster.max_restarts,
        local_addr="localhost" if one_node else None,  # a machine may not know its own name
        logs_specs=DefaultLogsSpecs(log_dir=folder),
    )
    if slurm.job() is not None:
        signal.signal(signal.SIGUSR1, tell_workers)
    try:
        launch_agent(config, program, arguments)
    except ChildFailedError as error:
        return _explain(error)
    except SignalException as error:
        return _interrupted() if error.sigval == signal.SIGINT else 128 + int(error.sigval)
    return REQUEUED if any(Path(folder).glob("*/requeued")) else 0


def tell_workers(number: int, frame: Any) -> None:
    """Pass a signal on to the workers: SLURM sends it to this process alone, and each worker leads a session of its own."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()  # state, parent, group, session ...
        except OSError:  # it has just ended
            continue
        process = int(path.parent.name)
        if int(fields[1]) == os.getpid() and int(fields[3]) == process:
            os.kill(process, number)


def note_requeued() -> int:
    """In a worker whose job goes back into SLURM's queue: the exit code. 0 under an agent, which would start others else."""
    error_file = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if error_file is None:
        return REQUEUED
    (Path(error_file).parents[2] / "requeued").touch()
    return 0


def _interrupted() -> int:
    print("litify: interrupted", file=sys.stderr)
    return INTERRUPTED


def _explain(error: Any) -> int:
    """One line on the worker that failed first, whose traceback stands above; returns the exit code for the whole."""
    rank, failure = error.get_first_failure()
    code = int(failure.exitcode)
    what = f"was ended by {failure.signal_name()}" if code < 0 else f"ended with exit code {code}"
    print(f"litify: rank {rank} (process {failure.pid}) {what}; the others were stopped", file=sys.stderr)
    return code if code > 0 else 128 - code


def _cores() -> int:
    """How many cores this process may use, which in a container can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


failed = False
"""Whether `report_failure` was called: leaving the process group properly would then wait for peers in vain."""
_entered = False


def enter_worker() -> None:
    """Make this process a good worker: it ends with its launcher, and only the first failure prints a traceback.

    Does nothing the second time.
    """
    global _entered
    if _entered:
        return
    _entered = True
    _end_with_parent()
    if "TORCHELASTIC_ERROR_FILE" in os.environ:
        sys.excepthook = report_failure
    restarts = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
    if restarts and os.environ["RANK"] == "0":
        most = os.environ.get("TORCHELASTIC_MAX_RESTARTS", "?")
        print(f"litify: a worker failed; all were started again ({restarts} of {most})", file=sys.stderr)


def _end_with_parent() -> None:
    """On Linux, have the kernel end this process when its launcher is killed: then nobody could stop it (prctl(2))."""
    if not sys.platform.startswith("linux"):
        return
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, int(signal.SIGTERM))


def report_failure(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """`sys.excepthook` of a worker: the first of this node's workers to fail prints its traceback, others one line.

    When one rank fails, its peers fail too, in the middle of talking to it: their tracebacks would bury the cause. Where it
    was killed, so that it could print nothing, the launcher names it.
    """
    global failed
    failed = True
    rank = os.environ.get("RANK", "?")
    if issubclass(kind, KeyboardInterrupt):
        return
    lost_peer = any(
        words in str(error) for words in ("closed by peer", "reset by peer")
    )  # not the cause either
    if lost_peer or not first_to_fail():
        told = str(error).strip().splitlines() or [""]
        print(f"litify: rank {rank} stopped too: {kind.__name__}: {told[0][:200]}", file=sys.stderr)
        return
    lines = "".join(traceback.format_exception(kind, error, trace))
    print(f"litify: rank {rank} failed:\n{lines}", end="", file=sys.stderr, flush=True)
    extra = {"py_callstack": lines, "timestamp": str(int(time.time()))}
    record = {"message": f"{kind.__name__}: {error}", "extraInfo": extra}
    # The agent reads this file to tell which of several failures came first.
    Path(os.environ["TORCHELASTIC_ERROR_FILE"]).write_text(json.dumps({"message": record}))


def first_to_fail() -> bool:
    """Whether no other worker of this node has failed in this attempt: a file that only one of them can make."""
    if "TORCHELASTIC_ERROR_FILE" not in os.environ:
        return True
    claim = Path(os.environ["TORCHELASTIC_ERROR_FILE"]).parent.parent / "first_failure"
    try:
        os.close(os.open(claim, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    except OSError:  # the folder is gone or read-only: then better two tracebacks than none
        return True
    return True
