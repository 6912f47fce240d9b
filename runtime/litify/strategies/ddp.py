"""One process per device, gradients averaged after each backward pass: torch's DistributedDataParallel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from litify.errors import MisconfigurationException
from litify.strategies.parallel import ParallelStrategy, broadcast_tensors, flattened, spread
from litify.strategies.parallel import leave_group as leave_group
from litify.strategies.sync_batchnorm import sync_batchnorm

if TYPE_CHECKING:
    from litify.accelerators.base import Accelerator
    from litify.module import LightningModule
    from litify.plugins.checkpoint_io import CheckpointIO
    from litify.plugins.environments import ClusterEnvironment
    from litify.precision.base import Precision

CommHook = Callable[[Any, Any], torch.futures.Future[Tensor]]


class DDPStrategy(ParallelStrategy):
    """Data parallelism over processes, each with the whole model and its part of every global batch.

    With automatic optimization the training step runs inside DistributedDataParallel, which sends gradients while the
    backward pass still runs. With manual optimization, where one step may hold several backward passes over different
    parts of the model (a GAN), gradients are averaged after each `manual_backward` instead: no parameter has to be used,
    and what the step reads or clips afterwards are the common gradients.

    Args:
        accelerator, parallel_devices, cluster_environment, checkpoint_io, precision_plugin, process_group_backend, timeout,
            start_method, sync_batchnorm: see `ParallelStrategy`.
        ddp_comm_hook: how gradients are exchanged, a communication hook of torch, such as bf16_compress_hook (GPUs only) and
            fp16_compress_hook of torch.distributed.algorithms.ddp_comm_hooks.default_hooks, which send half as much.
        ddp_comm_state: what the hook keeps between steps (powerSGD_hook.PowerSGDState ...).
        ddp_comm_wrapper: a hook around the hook, such as default_hooks.bf16_compress_wrapper.
        find_unused_parameters: for automatic optimization with parameters that some steps do not use.
        options: of DistributedDataParallel: static_graph, gradient_as_bucket_view, bucket_cap_mb, broadcast_buffers ...

    Raises:
        MisconfigurationException: a state or wrapper without a hook; later, a hook under manual optimization.
    """

    name: ClassVar[str] = "ddp"

    def __init__(
        self,
        accelerator: Accelerator | None = None,
        parallel_devices: list[torch.device] | None = None,
        cluster_environment: ClusterEnvironment | None = None,
        checkpoint_io: CheckpointIO | None = None,
        precision_plugin: Precision | None = None,
        ddp_comm_state: Any = None,
        ddp_comm_hook: CommHook | None = None,
        ddp_comm_wrapper: Callable[[CommHook], CommHook] | None = None,
        process_group_backend: str | None = None,
        timeout: timedelta = timedelta(minutes=30),
        start_method: str = "popen",
        find_unused_parameters: bool = False,
        sync_batchnorm: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(
            accelerator, parallel_devices, cluster_environment, checkpoint_io, precision_plugin, process_group_backend, timeout,
            start_method, sync_batchnorm,
        )  # fmt: skip
        if ddp_comm_hook is None and (ddp_comm_state is not None or ddp_comm_wrapper is not None):
            raise MisconfigurationException(
                "DDPStrategy(ddp_comm_state=..., ddp_comm_wrapper=...) belong to a hook: pass ddp_comm_hook too."
            )
        wrapped = ddp_comm_wrapper is not None and ddp_comm_hook is not None
        self.comm_hook = ddp_comm_wrapper(ddp_comm_hook) if wrapped else ddp_comm_hook  # type: ignore[misc, arg-type]
        self.comm_state = ddp_comm_state
        self.options = {"find_unused_parameters": find_unused_parameters, **options}
        self._wrapped: DistributedDataParallel | None = None
        self._manual = False
        self._synced = True

    def connect(
        self, accelerator: Accelerator, precision: Precision, devices: Any, num_nodes: int = 1
    ) -> None:
        """As the base class.

        Raises:
            MisconfigurationException: gradients are to be sent in bfloat16 where torch cannot (it wants NCCL).
        """
        super().connect(accelerator, precision, devices, num_nodes)
        name = getattr(self.comm_hook, "__name__", "")
        if name.startswith("bf16_compress") and accelerator.device_type != "cuda":
            raise MisconfigurationException(
                f"DDPStrategy(ddp_comm_hook={name}): torch sends bfloat16 gradients between CUDA GPUs only, not on {accelerator.name}; "
                "use fp16_compress_hook there, or leave it out."
            )

    @property
    def model(self) -> Any:
        return self.module if self._wrapped is None else self._wrapped

    def setup_module(self, module: LightningModule, training: bool) -> None:
        super().setup_module(module, training)
        self._manual = not module.automatic_optimization
        self._wrapped = None
        if not training:
            return
        if self.sync_batchnorm:
            sync_batchnorm(module, self.root_device)
        if self._manual and self.comm_hook is not None:
            raise MisconfigurationException(
                "DDPStrategy(ddp_comm_hook=...) has no effect under manual optimization, where gradients are averaged after each "
                "manual_backward: leave it out."
            )
        if self._manual:
            broadcast_tensors(module.parameters())
            broadcast_tensors(module.buffers())
        elif any(parameter.requires_grad for parameter in module.parameters()):
            self._wrapped = DistributedDataParallel(TrainingStep(module), **self.options)
            if self.comm_hook is not None:
                self._wrapped.register_comm_hook(self.comm_state, self.comm_hook)

    def step_function(self, name: str) -> Callable[..., Any]:
        step = super().step_function(name)
        if name != "training_step":
            return step
        if self._wrapped is not None:
            return self._wrapped_step
        if self._manual and self.world_size > 1:
            return self.with_common_buffers(step) if self.options.get("broadcast_buffers", True) else step
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

    # -- a batch -----------------------------------------------------------------------------------------------------------

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        super().backward(loss, *args, **kwargs)
        if self._manual and self._synced and self.world_size > 1:
            assert self.module is not None
            average_gradients(self.module.parameters(), self.root_device)

    @property
    def adds_to_backward(self) -> bool:
        return self._manual or type(self).backward is not DDPStrategy.backward

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
    for flat, parts in flattened(gradients):
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
        spread(flat, parts)
