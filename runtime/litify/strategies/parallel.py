"""Many processes, one per device: how they find each other, share the data and talk. What DDP and FSDP have in common."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from importlib import import_module
from itertools import groupby
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import HashStore  # type: ignore[attr-defined]
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from litify import launch
from litify.errors import MisconfigurationException
from litify.plugins import environments
from litify.strategies.base import Strategy
from litify.strategies.sampling import shard

if TYPE_CHECKING:
    from litify.accelerators.base import Accelerator
    from litify.plugins.checkpoint_io import CheckpointIO
    from litify.plugins.environments import ClusterEnvironment
    from litify.precision.base import Precision

OPERATIONS = {
    "sum": dist.ReduceOp.SUM,
    "mean": dist.ReduceOp.SUM,
    "min": dist.ReduceOp.MIN,
    "max": dist.ReduceOp.MAX,
}


class ParallelStrategy(Strategy):
    """Data parallelism over processes, each with its part of every global batch. A subclass says where the weights are.

    Args:
        accelerator, checkpoint_io, precision_plugin: see `Strategy`.
        parallel_devices: the devices of this node, in place of what the Trainer's arguments say.
        cluster_environment: how processes were started; default: what the environment variables tell.
        process_group_backend: "gloo", "nccl" ...; None takes what the accelerator needs.
        timeout: how long a process waits for the others.
        start_method: "popen" starts this command once per device; "spawn", "fork" and "forkserver" make the processes from this
            one (`litify/spawn.py`), and the call returns in it.
        sync_batchnorm: make BatchNorm layers use the statistics of the global batch.
    """

    process_per_device: ClassVar[bool] = True

    def __init__(
        self,
        accelerator: Accelerator | None = None,
        parallel_devices: list[torch.device] | None = None,
        cluster_environment: ClusterEnvironment | None = None,
        checkpoint_io: CheckpointIO | None = None,
        precision_plugin: Precision | None = None,
        process_group_backend: str | None = None,
        timeout: timedelta = timedelta(minutes=30),
        start_method: str = "popen",
        sync_batchnorm: bool = False,
    ) -> None:
        super().__init__(accelerator, checkpoint_io, precision_plugin)
        self.own_devices, self._environment = parallel_devices, cluster_environment
        self.process_group_backend = process_group_backend
        self.timeout = timeout
        self.start_method = start_method
        self.sync_batchnorm = sync_batchnorm

    def connect(
        self,
        accelerator: Accelerator,
        precision: Precision,
        devices: Sequence[torch.device],
        num_nodes: int = 1,
    ) -> None:
        self.cluster_environment = self._environment or environments.detect()
        self.cluster_environment.connect(len(devices), num_nodes)
        super().connect(accelerator, precision, devices, num_nodes)

    # -- topology ------------------------------------------------------------------------------------------------------

    @property
    def parallel_devices(self) -> list[torch.device]:
        """The devices of this node."""
        return list(self.devices)

    @property
    def num_processes(self) -> int:
        """How many processes this node has."""
        return len(self.devices)

    @property
    def world_size(self) -> int:
        return self.cluster_environment.world_size()

    @property
    def global_rank(self) -> int:
        return self.cluster_environment.global_rank()

    @property
    def local_rank(self) -> int:
        return self.cluster_environment.local_rank()

    @property
    def node_rank(self) -> int:
        return self.cluster_environment.node_rank()

    @property
    def root_device(self) -> torch.device:
        """This process's device.

        Raises:
            MisconfigurationException: an outside launcher started more processes on this node than there are devices.
        """
        if self.local_rank < len(self.devices):
            return self.devices[self.local_rank]
        device = self.devices[0]
        if device.type == "cpu":
            return device
        if (
            self.local_rank < self.accelerator.device_count()
        ):  # torchrun started more than Trainer(devices=) says
            return self.accelerator.device(self.local_rank)
        raise MisconfigurationException(
            f"local rank {self.local_rank} has no device: this node has {self.accelerator.device_count()}; "
            "start at most as many processes"
        )

    # -- set-up ----------------------------------------------------------------------------------------------------------

    def setup_environment(self) -> None:
        """Join the other processes. Starts them first where nobody has (see `litify.launch.ensure_launched`)."""
        environment = self.cluster_environment
        environment.validate_settings(len(self.devices), self.num_nodes)
        if environment.creates_processes_externally:
            launch.enter_worker()
        elif self.local_rank:
            raise RuntimeError(
                f"This process has local rank {self.local_rank}, so it was started as a worker, but {type(environment).__name__} says "
                "that the Trainer starts workers (creates_processes_externally is False); return True there."
            )
        else:
            launch.ensure_launched(len(self.devices), self.num_nodes)
        super().setup_environment()
        if dist.is_initialized():
            return
        hook = sys.excepthook
        backend = self.process_group_backend or self.accelerator.process_group_backend
        join_group(backend, self.timeout, environment)
        if (
            hook is launch.report_failure
        ):  # it names the rank itself; torch would do so again before each line
            sys.excepthook = hook
        atexit.register(leave_group)

    def with_common_buffers(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """The step with rank 0's buffers (running statistics) in every process, as DistributedDataParallel has it."""
        assert self.module is not None
        buffers = list(self.module.buffers())
        if not buffers:
            return step

        def step_with_common_buffers(*args: Any, **kwargs: Any) -> Any:
            broadcast_tensors(buffers)
            return step(*args, **kwargs)

        return step_with_common_buffers

    def process_loader(self, loader: Any, *, training: bool, shuffle: bool, replace_sampler: bool) -> Any:
        if not replace_sampler or self.world_size == 1:
            return loader
        return shard(loader, self.global_rank, self.world_size, training, shuffle)

    def in_company(self, batches: Iterator[Any], limits: list[float]) -> Iterator[Any]:
        """The batches, with `alone` set for those that others have none of.

        Each sample is evaluated once, so that a process may have a batch more than another.
        """
        common = [self.reduce(torch.tensor(float(limit)), "min").item() for limit in limits]
        try:
            for batch in batches:
                self.alone = batch[1] >= common[batch[2] or 0]
                yield batch
        finally:
            self.alone = False

    # -- between processes ---------------------------------------------------------------------------------------------------

    def reduce(self, tensor: Tensor, op: str = "mean", group: Any = None) -> Tensor:
        self._need_company()
        op = {"avg": "mean"}.get(op, op)
        if op not in OPERATIONS:
            raise MisconfigurationException(f"reduce(op={op!r}): use one of {', '.join(OPERATIONS)}.")
        result = tensor.detach().to(self.root_device, copy=True)
        if op == "mean" and not result.is_floating_point():
            result = result.to(torch.get_default_dtype())
        dist.all_reduce(result, OPERATIONS[op], group=group)
        return result / dist.get_world_size(group) if op == "mean" else result

    def all_gather(self, tensor: Tensor, group: Any = None, sync_grads: bool = False) -> Tensor:
        self._need_company()
        tensor = tensor.to(self.root_device).contiguous()
        if sync_grads and torch.is_grad_enabled():
            from torch.distributed.nn.functional import (
                all_gather,
            )  # loads torch.distributed.rpc: rarely needed

            return torch.stack(all_gather(tensor, group))  # type: ignore[no-untyped-call]
        parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size(group))]
        dist.all_gather(parts, tensor.detach(), group=group)
        return torch.stack(parts)

    def _need_company(self) -> None:
        """Refuse to talk to processes that would never answer.

        Raises:
            MisconfigurationException: an evaluation step exchanges values, in a batch that others do not have.
        """
        if self.alone:
            raise MisconfigurationException(
                f"Rank {self.global_rank} has an evaluation batch more than others, as each sample is evaluated once, and the step wants "
                "to exchange values, for which all must take part. Do it at the end of the epoch (on_validation_epoch_end, or "
                "self.log(..., on_step=False, on_epoch=True, sync_dist=True)), or limit batches (limit_val_batches=N) so that all have as "
                "many."
            )

    def broadcast(self, value: Any, src: int = 0) -> Any:
        if not dist.is_initialized():  # before fit there is but this process
            return value
        values = [value]
        dist.broadcast_object_list(values, src, device=self.root_device)
        return values[0]

    def gather(self, value: Any) -> list[Any]:
        if not dist.is_initialized() or sys.exc_info()[1] is not None:
            return [value]  # after Ctrl-C, or an error, the others stand somewhere else
        values: list[Any] = [None] * self.world_size
        dist.all_gather_object(values, value)
        return values

    def barrier(self, name: str | None = None) -> None:
        if not dist.is_initialized() or isinstance(sys.exc_info()[1], KeyboardInterrupt):
            return  # after Ctrl-C each process stands somewhere else
        on_gpu = self.root_device.type == "cuda"
        dist.barrier(device_ids=[self.root_device.index] if on_gpu else None)

    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:
        asked = torch.tensor(int(decision), device=self.root_device)
        return bool(self.reduce(asked, "min" if all else "max"))


def broadcast_tensors(tensors: Iterable[Tensor]) -> None:
    """Rank 0's values, in place, in every process."""
    for flat, parts in flattened([tensor.detach() for tensor in tensors]):
        dist.broadcast(flat, 0)
        spread(flat, parts)


def flattened(tensors: list[Tensor]) -> Iterator[tuple[Tensor, list[Tensor]]]:
    """One flat tensor, and those it was made from, for each type of number; the same order in all processes."""
    for _, group in groupby(sorted(tensors, key=lambda each: str(each.dtype)), key=lambda each: each.dtype):
        parts = list(group)
        yield torch.cat([part.reshape(-1) for part in parts]), parts


def spread(flat: Tensor, parts: list[Tensor]) -> None:
    """Copy a flat tensor back over the tensors it was made from."""
    for part, values in zip(parts, torch.split(flat, [part.numel() for part in parts]), strict=True):
        part.copy_(values.view_as(part))


def join_group(backend: str, timeout: timedelta, environment: ClusterEnvironment) -> None:
    """Make the default process group of all workers, or one of this process alone where it is the only one."""
    # Optimizers import this. Imported while a group exists, it keeps that group until the process ends (torch 2.13).
    import_module("torch._dynamo")
    if environment.world_size() == 1 and launch.world() is None:
        dist.init_process_group(backend, store=HashStore(), rank=0, world_size=1)
        return
    # Told as torchrun tells it, whoever started the processes: torch, data loaders and loggers look there.
    told = {
        "MASTER_ADDR": environment.main_address,
        "MASTER_PORT": str(environment.main_port),
        "RANK": str(environment.global_rank()),
        "WORLD_SIZE": str(environment.world_size()),
        "LOCAL_RANK": str(environment.local_rank()),
    }
    os.environ.update(told)
    store, rank, size = next(rendezvous("env://", timeout=timeout))
    # Workers that the elastic agent started anew find the store with what the failed ones wrote (torch 2.13), and would
    # wait for processes that are gone.
    store = PrefixStore("restart_" + os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=timeout)


def leave_group() -> None:
    """Leave the other processes, at the end of this one: gloo aborts a process that ends while its threads still run.

    Not after a failure. Then the peers are gone or stuck, and waiting for them would hide the error.
    """
    if dist.is_initialized() and not hasattr(sys, "last_value") and not launch.failed:
        dist.destroy_process_group()
