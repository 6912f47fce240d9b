"""One process per device, gradients averaged after each backward pass: torch's DistributedDataParallel."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from importlib import import_module
from itertools import groupby
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import HashStore  # type: ignore[attr-defined]
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from litify import launch
from litify.errors import MisconfigurationException
from litify.plugins import environments
from litify.strategies.base import Strategy
from litify.strategies.sampling import shard

if TYPE_CHECKING:
    from litify.accelerators.base import Accelerator
    from litify.module import LightningModule
    from litify.plugins.checkpoint_io import CheckpointIO
    from litify.plugins.environments import ClusterEnvironment
    from litify.precision.base import Precision

OPERATIONS = {
    "sum": dist.ReduceOp.SUM,
    "mean": dist.ReduceOp.SUM,
    "min": dist.ReduceOp.MIN,
    "max": dist.ReduceOp.MAX,
}


class DDPStrategy(Strategy):
    """Data parallelism over processes, each with the whole model and its part of every global batch.

    With automatic optimization the training step runs inside DistributedDataParallel, which sends gradients while the
    backward pass still runs. With manual optimization, where one step may hold several backward passes over different
    parts of the model (a GAN), gradients are averaged after each `manual_backward` instead: no parameter has to be used,
    and what the step reads or clips afterwards are the common gradients.

    Args:
        accelerator, checkpoint_io, precision_plugin: see `Strategy`.
        parallel_devices: the devices of this node, in place of what the Trainer's arguments say.
        cluster_environment: how processes were started; default: what the environment variables tell.
        find_unused_parameters: for automatic optimization with parameters that some steps do not use.
        process_group_backend: "gloo", "nccl" ...; None takes what the accelerator needs.
        timeout: how long a process waits for the others.
        start_method: "popen" starts this command once per device; "spawn", "fork" and "forkserver" make the processes from this
            one (`litify/spawn.py`), and the call returns in it.
        sync_batchnorm: make BatchNorm layers use the statistics of the global batch (GPU only).
        options: of DistributedDataParallel: static_graph, gradient_as_bucket_view, bucket_cap_mb, broadcast_buffers ...
    """

    name: ClassVar[str] = "ddp"
    process_per_device: ClassVar[bool] = True

    def __init__(
        self,
        accelerator: Accelerator | None = None,
        parallel_devices: list[torch.device] | None = None,
        cluster_environment: ClusterEnvironment | None = None,
        checkpoint_io: CheckpointIO | None = None,
        precision_plugin: Precision | None = None,
        find_unused_parameters: bool = False,
        process_group_backend: str | None = None,
        timeout: timedelta = timedelta(minutes=30),
        start_method: str = "popen",
        sync_batchnorm: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(accelerator, checkpoint_io, precision_plugin)
        self.own_devices, self._environment = parallel_devices, cluster_environment
        self.process_group_backend = process_group_backend
        self.timeout = timeout
        self.start_method = start_method
        self.sync_batchnorm = sync_batchnorm
        self.options = {"find_unused_parameters": find_unused_parameters, **options}
        self._wrapped: DistributedDataParallel | None = None
        self._manual = False
        self._synced = True

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

    @property
    def model(self) -> Any:
        return self.module if self._wrapped is None else self._wrapped

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

    def setup_module(self, module: LightningModule, training: bool) -> None:
        super().setup_module(module, training)
        self._manual = not module.automatic_optimization
        self._wrapped = None
        if not training:
            return
        if self.sync_batchnorm:
            nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
        if self._manual:
            _broadcast(module.parameters())
            _broadcast(module.buffers())
        elif any(parameter.requires_grad for parameter in module.parameters()):
            self._wrapped = DistributedDataParallel(TrainingStep(module), **self.options)

    def step_function(self, name: str) -> Callable[..., Any]:
        step = super().step_function(name)
        if name != "training_step":
            return step
        if self._wrapped is not None:
            return self._wrapped_step
        if self._manual and self.world_size > 1:
            return self._with_common_buffers(step)
        return step

    def _wrapped_step(self, *args: Any, **kwargs: Any) -> Any:
        """The step through DistributedDataParallel; its error on parameters without gradient told in the Trainer's words.

        Looks the wrapper up, as a loop that kept it would keep the process group past `teardown`.
        """
        assert self._wrapped is not None
        try:
            return self._wrapped(*args, **kwargs)
        except RuntimeError as error:
            if "Expected to have finished reduction" not in str(error):
                raise
            raise MisconfigurationException(
                "some parameters got no gradient in the last step, which the other processes wait for: pass "
                "Trainer(strategy='ddp_find_unused_parameters_true'), or freeze them with requires_grad_(False)"
            ) from error

    def _with_common_buffers(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """The step with rank 0's buffers (running statistics) in every process, as DistributedDataParallel has it."""
        assert self.module is not None
        buffers = list(self.module.buffers())
        if not buffers or not self.options.get("broadcast_buffers", True):
            return step

        def step_with_common_buffers(*args: Any, **kwargs: Any) -> Any:
            _broadcast(buffers)
            return step(*args, **kwargs)

        return step_with_common_buffers

    def process_loader(self, loader: Any, *, training: bool, shuffle: bool, replace_sampler: bool) -> Any:
        if not replace_sampler or self.world_size == 1:
            return loader
        return shard(loader, self.global_rank, self.world_size, training, shuffle)

    # -- a batch -----------------------------------------------------------------------------------------------------------

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        super().backward(loss, *args, **kwargs)
        if self._manual and self._synced and self.world_size > 1:
            assert self.module is not None
            average_gradients(self.module.parameters(), self.root_device)

    def block_grad_sync(self) -> AbstractContextManager[Any]:
        """Active around forward and backward passes whose gradients are only accumulated."""
        return self._wrapped.no_sync() if self._wrapped is not None else self._blocked()

    @contextmanager
    def _blocked(self) -> Iterator[None]:
        before, self._synced = self._synced, False
        try:
            yield
        finally:
            self._synced = before

    @property
    def syncs_gradients(self) -> bool:
        return self.world_size > 1

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

    def barrier(self, name: str | None = None) -> None:
        if not dist.is_initialized() or isinstance(sys.exc_info()[1], KeyboardInterrupt):
            return  # after Ctrl-C each process stands somewhere else
        on_gpu = self.root_device.type == "cuda"
        dist.barrier(device_ids=[self.root_device.index] if on_gpu else None)

    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:
        asked = torch.tensor(int(decision), device=self.root_device)
        return bool(self.reduce(asked, "min" if all else "max"))

    def teardown(self) -> None:
        self._wrapped = None  # with its hooks on the parameters; the next fit may wrap others
        super().teardown()


class TrainingStep(nn.Module):
    """A module whose forward is the LightningModule's training_step: what DistributedDataParallel wraps."""

    def __init__(self, module: LightningModule) -> None:
        super().__init__()
        self.module = module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module.training_step(*args, **kwargs)


def average_gradients(parameters: Iterable[nn.Parameter], device: torch.device) -> None:
    """Replace each gradient by its mean over all processes, in one message per type of number.

    What earlier passes accumulated is the same everywhere, so its mean is itself, and only what the last backward pass
    added changes. A parameter without gradient here that has one elsewhere gets a gradient of zeros first.
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    used = torch.tensor(
        [parameter.grad is not None for parameter in trained], dtype=torch.uint8, device=device
    )
    dist.all_reduce(used, dist.ReduceOp.MAX)
    gradients = []
    for parameter, is_used in zip(trained, used.tolist(), strict=True):
        if not is_used:
            continue
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        gradients.append(parameter.grad)
    for flat, parts in _flattened(gradients):
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
        _spread(flat, parts)


def _broadcast(tensors: Iterable[Tensor]) -> None:
    """Rank 0's values, in place, in every process."""
    for flat, parts in _flattened([tensor.detach() for tensor in tensors]):
        dist.broadcast(flat, 0)
        _spread(flat, parts)


def _flattened(tensors: list[Tensor]) -> Iterator[tuple[Tensor, list[Tensor]]]:
    """One flat tensor, and those it was made from, for each type of number; the same order in all processes."""
    for _, group in groupby(sorted(tensors, key=lambda each: str(each.dtype)), key=lambda each: each.dtype):
        parts = list(group)
        yield torch.cat([part.reshape(-1) for part in parts]), parts


def _spread(flat: Tensor, parts: list[Tensor]) -> None:
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
