"""How processes that train together were started, and what each may know of the others: ranks, and where to meet."""

from __future__ import annotations

import os
import signal
import socket

from litify import slurm
from litify.launch import world


class ClusterEnvironment:
    """A way in which processes are started. The base class, and `LightningEnvironment`, is none: the Trainer starts them itself.

    Ranks are read from environment variables whenever they are asked for, as a launcher may set them late.
    """

    def __init__(self) -> None:
        self._world_size = 1
        self._global_rank: int | None = None
        self._processes_per_node = 1

    @staticmethod
    def detect() -> bool:
        """Whether this process was started in this way."""
        return False

    @property
    def creates_processes_externally(self) -> bool:
        """Whether all processes are there already, so that the Trainer must start none."""
        return True

    @property
    def main_address(self) -> str:
        """The host on which rank 0 runs."""
        return os.environ.get("MASTER_ADDR", "127.0.0.1")

    @property
    def main_port(self) -> int:
        """The port on which rank 0 waits for the others."""
        return int(os.environ.get("MASTER_PORT", "0")) or _free_port()

    def connect(self, processes_per_node: int, num_nodes: int) -> None:
        """Take what the Trainer's `devices` and `num_nodes` say, for environments that do not tell by themselves."""
        self._processes_per_node = processes_per_node
        self.set_world_size(processes_per_node * num_nodes)

    def world_size(self) -> int:
        """Number of processes on all nodes."""
        return self._world_size

    def set_world_size(self, size: int) -> None:
        self._world_size = size

    def global_rank(self) -> int:
        """This process among all."""
        if self._global_rank is not None:
            return self._global_rank
        return self.node_rank() * self._processes_per_node + self.local_rank()

    def set_global_rank(self, rank: int) -> None:
        self._global_rank = rank

    def local_rank(self) -> int:
        """This process among those of its node."""
        return int(os.environ.get("LOCAL_RANK", "0"))

    def node_rank(self) -> int:
        """This node among all."""
        return int(os.environ.get("NODE_RANK", os.environ.get("GROUP_RANK", "0")))

    def validate_settings(self, num_devices: int, num_nodes: int) -> None:
        """Refuse Trainer arguments that do not fit what was started."""

    def teardown(self) -> None:
        """The end of fit, validate, test or predict."""


class LightningEnvironment(ClusterEnvironment):
    """Nobody started processes: the Trainer does, or someone by hand, setting LOCAL_RANK (and NODE_RANK, MASTER_ADDR, MASTER_PORT)."""

    @property
    def creates_processes_externally(self) -> bool:
        return "LOCAL_RANK" in os.environ


class TorchElasticEnvironment(ClusterEnvironment):
    """Processes started by torchrun, or by this package, which uses the same agent."""

    @staticmethod
    def detect() -> bool:
        return "RANK" in os.environ and "WORLD_SIZE" in os.environ

    def connect(self, processes_per_node: int, num_nodes: int) -> None:
        """torchrun knows better."""

    def world_size(self) -> int:
        place = world()
        return 1 if place is None else place.size

    def global_rank(self) -> int:
        place = world()
        return 0 if place is None else place.rank

    def local_rank(self) -> int:
        place = world()
        return 0 if place is None else place.local_rank

    def node_rank(self) -> int:
        place = world()
        return 0 if place is None else place.node_rank


class SLURMEnvironment(ClusterEnvironment):
    """Processes started by SLURM's srun: one task per device; or one per node, which then starts a process per device itself.

    Args:
        auto_requeue: save a checkpoint and have the job started anew when the time limit comes near (`litify/requeue.py`).
        requeue_signal: by which SLURM tells so (`#SBATCH --signal=SIGUSR1@90`); default SIGUSR1.
    """

    def __init__(self, auto_requeue: bool = True, requeue_signal: signal.Signals | None = None) -> None:
        super().__init__()
        self.auto_requeue = auto_requeue
        self.requeue_signal = requeue_signal or getattr(signal, "SIGUSR1", None)

    @staticmethod
    def detect() -> bool:
        """Whether this is a task of a batch job; in an interactive one (`srun --pty bash`) the Trainer starts processes itself."""
        return slurm.is_task()

    @property
    def creates_processes_externally(self) -> bool:
        return slurm.tasks_per_node() > 1 or self._processes_per_node == 1

    @property
    def main_address(self) -> str:
        """The first node of the job."""
        return os.environ.get("MASTER_ADDR", slurm.first_node())

    @property
    def main_port(self) -> int:
        return int(os.environ.get("MASTER_PORT", slurm.port()))

    def connect(self, processes_per_node: int, num_nodes: int) -> None:
        """SLURM knows better how many there are in all."""
        self._processes_per_node = processes_per_node

    def world_size(self) -> int:
        return slurm.tasks()

    def global_rank(self) -> int:
        return slurm.rank()

    def local_rank(self) -> int:
        return slurm.local_rank()

    def node_rank(self) -> int:
        return slurm.node_rank()

    def validate_settings(self, num_devices: int, num_nodes: int) -> None:
        """Refuse other numbers of devices and nodes than SLURM started tasks for.

        Raises:
            ValueError: which #SBATCH option and which Trainer argument differ.
        """
        for option, there, argument, asked in (
            ("ntasks-per-node", slurm.tasks_per_node(), "devices", num_devices),
            ("nodes", slurm.nodes() if "SLURM_NNODES" in os.environ else num_nodes, "num_nodes", num_nodes),
        ):
            if there != asked and not (argument == "devices" and there == 1):
                raise ValueError(
                    f"Trainer({argument}={asked}), but SLURM has --{option}={there}: make the two equal (one task per device), or start "
                    "one task per node."
                )


def started() -> tuple[int, int] | None:
    """How many processes a launcher from outside has started, on this node and in all; None where there is none."""
    place = world()
    if place is not None:
        return place.local_size, place.size
    return (slurm.tasks_per_node(), slurm.tasks()) if slurm.is_task() else None


def detect() -> ClusterEnvironment:
    """The environment that this process runs in; torchrun's first, as it may run inside of a SLURM job."""
    for kind in (TorchElasticEnvironment, SLURMEnvironment):
        if kind.detect():
            return kind()
    return LightningEnvironment()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
