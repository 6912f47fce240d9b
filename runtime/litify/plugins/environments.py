"""How processes that train together were started, and what each may know of the others: ranks, and where to meet."""

from __future__ import annotations

import os
import re
import socket

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
    """Processes started by SLURM's srun, one task per device."""

    @staticmethod
    def detect() -> bool:
        """Whether this is a task of a batch job; in an interactive one (`srun --pty bash`) the Trainer starts processes itself."""
        return "SLURM_NTASKS" in os.environ and os.environ.get("SLURM_JOB_NAME") not in (
            "bash",
            "interactive",
        )

    @property
    def main_address(self) -> str:
        """The first node of SLURM_NODELIST: "tux[5-7,9]" begins with tux5."""
        nodes = os.environ.get("SLURM_NODELIST", "127.0.0.1")
        return os.environ.get(
            "MASTER_ADDR", re.sub(r"\[(\d+)[^\]]*\]", r"\1", nodes).partition(",")[0].split()[0]
        )

    @property
    def main_port(self) -> int:
        """From the job's number, so that all tasks find the same, and two jobs on a node rarely do."""
        return int(os.environ.get("MASTER_PORT", 15000 + int(os.environ.get("SLURM_JOB_ID", "0")[-4:])))

    def connect(self, processes_per_node: int, num_nodes: int) -> None:
        """SLURM knows better."""

    def world_size(self) -> int:
        return int(os.environ["SLURM_NTASKS"])

    def global_rank(self) -> int:
        return int(os.environ.get("SLURM_PROCID", "0"))

    def local_rank(self) -> int:
        return int(os.environ.get("SLURM_LOCALID", "0"))

    def node_rank(self) -> int:
        return int(os.environ.get("SLURM_NODEID", "0"))

    def validate_settings(self, num_devices: int, num_nodes: int) -> None:
        """Refuse other numbers of devices and nodes than SLURM started tasks for.

        Raises:
            ValueError: which #SBATCH option and which Trainer argument differ.
        """
        for option, variable, argument, asked in (
            ("ntasks-per-node", "SLURM_NTASKS_PER_NODE", "devices", num_devices),
            ("nodes", "SLURM_NNODES", "num_nodes", num_nodes),
        ):
            there = os.environ.get(variable, "")
            if there.isdigit() and int(there) != asked:
                raise ValueError(
                    f"Trainer({argument}={asked}), but SLURM has --{option}={there}: make the two equal (one task per device)."
                )


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
