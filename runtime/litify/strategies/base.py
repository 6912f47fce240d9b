"""What the Trainer asks of a way to train: how many processes, where the module lives, how they talk.

The order in which a strategy is called by one fit (validate, test and predict leave out what they do not need):

    strategy = Strategy(...)                 options of the user
    strategy.connect(...)                    in Trainer(): accelerator, precision, devices, nodes. Nothing starts yet
    strategy.setup_environment()             start of fit, before any hook: device, process group
    strategy.process_loader(loader, ...)     each loader, when it is made
    strategy.setup(trainer)                  after configure_model; calls setup_module(module): move, cast, wrap
    strategy.setup_optimizers(optimizers)    after configure_optimizers
    step = strategy.step_function(name)      once per kind of step; the loops call what it returns for every batch
    strategy.backward / optimizer_step       each batch
    strategy.reduce / barrier / ...          whenever ranks must agree
    strategy.teardown()                      end of fit, also after an exception
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from litify.plugins.checkpoint_io import CheckpointIO, TorchCheckpointIO
from litify.precision.base import Closure, Precision, Uninitialized
from litify.rank_zero import set_rank
from litify.state import TrainerFn

if TYPE_CHECKING:
    from pathlib import Path

    from litify.accelerators.base import Accelerator
    from litify.module import LightningModule
    from litify.plugins.environments import ClusterEnvironment
    from litify.trainer import Trainer


class Strategy:
    """One way to train. The base class is one process on one device; a subclass overrides what differs.

    Attributes that others read: `accelerator`, `precision`, `devices` (torch devices of this node), `num_nodes`, `module`
    (the LightningModule, set by setup_module).
    """

    name: ClassVar[str] = ""
    process_per_device: ClassVar[bool] = False
    """Whether each device gets a process of its own. Then the Trainer calls `litify.launch.ensure_launched`."""

    accelerator: Accelerator
    precision: Precision
    devices: Sequence[torch.device]
    num_nodes: int
    module: LightningModule | None = None
    optimizers: Sequence[Optimizer] = ()
    cluster_environment: ClusterEnvironment
    alone: bool = False
    """Whether this process works on an evaluation batch for which others have no counterpart: they would not answer."""
    infers: ClassVar[bool] = True
    """Whether evaluation may run in torch.inference_mode; False where tensors made there are used in training again."""
    start_method: str = "popen"
    """How processes start: this command once more ("popen"), or from this process ("fork", "spawn", "forkserver")."""

    def __init__(
        self,
        accelerator: Accelerator | None = None,
        checkpoint_io: CheckpointIO | None = None,
        precision_plugin: Precision | None = None,
    ) -> None:
        """Args:
        accelerator, precision_plugin: in place of those that the Trainer's arguments say.
        checkpoint_io: how checkpoints are written; default: local files.
        """
        self.own_accelerator, self.own_precision = accelerator, precision_plugin
        self.checkpoint_io: CheckpointIO = checkpoint_io or TorchCheckpointIO()

    def connect(
        self,
        accelerator: Accelerator,
        precision: Precision,
        devices: Sequence[torch.device],
        num_nodes: int = 1,
    ) -> None:
        """Take what the Trainer chose. Called once, in `Trainer()`; must start no process and touch no device."""
        self.accelerator = accelerator
        self.precision = precision
        self.devices = devices
        self.num_nodes = num_nodes
        set_rank(self.global_rank if self.world_size > 1 else None)

    # -- topology: valid from `connect` on -------------------------------------------------------------------------

    @property
    def world_size(self) -> int:
        """Number of processes that train together, on all nodes."""
        return 1

    @property
    def global_rank(self) -> int:
        return 0

    @property
    def local_rank(self) -> int:
        return 0

    @property
    def node_rank(self) -> int:
        return 0

    @property
    def is_global_zero(self) -> bool:
        return self.global_rank == 0

    @property
    def root_device(self) -> torch.device:
        """The device on which this process trains."""
        return self.devices[self.local_rank]

    # -- set-up ------------------------------------------------------------------------------------------------------

    def setup_environment(self) -> None:
        """Make the root device current and, where there are several processes, join them. May be called again."""
        self.accelerator.setup_device(self.root_device)

    restore_checkpoint_after_setup: bool = False
    """Whether a checkpoint is loaded only after `setup`, by a strategy that cuts the module into parts there."""

    @contextmanager
    def tensor_init_context(self, empty_init: bool | None = None) -> Iterator[None]:
        """Tensors made within are made on the root device, and in the precision, of the training.

        Args:
            empty_init: True leaves weights uninitialized, for a checkpoint that is loaded into them.
        """
        device = self.root_device
        with ExitStack() as stack:
            stack.enter_context(device)
            stack.enter_context((self.own_precision or self.precision).module_init_context())
            if empty_init:
                stack.enter_context(Uninitialized())
            yield

    def setup(self, trainer: Trainer) -> None:
        """Make the module ready; called once per fit, validate, test or predict, before optimizers are made."""
        assert trainer.module is not None
        self.setup_module(trainer.module, training=trainer.state.fn is TrainerFn.FITTING)

    def setup_module(self, module: LightningModule, training: bool) -> None:
        """Cast and move the module to the root device; with several processes and `training`, wrap it.

        The module itself stays `self.module`; a wrapper is kept beside it and used by `step_function`.
        """
        self.module = module
        self.precision.convert_module(module)
        module.to(self.root_device)

    def setup_optimizers(self, optimizers: list[Optimizer]) -> list[Optimizer]:
        """Wrap or place optimizers; called after `setup_module`, before a checkpoint is restored into them."""
        self.optimizers = optimizers
        return optimizers

    def step_function(self, name: str) -> Callable[..., Any]:
        """The callable for "training_step", "validation_step", "test_step" or "predict_step", found once.

        With a wrapper whose forward must be entered (DDP), "training_step" goes through it.
        """
        return getattr(self.module, name)  # type: ignore[no-any-return]

    def process_loader(self, loader: Any, *, training: bool, shuffle: bool, replace_sampler: bool) -> Any:
        """Give this process its part of the data: a DistributedSampler put in, or a device loader around.

        Args:
            loader: anything iterable; only a torch DataLoader can get another sampler.
            training: a training loader; evaluation must not shuffle and must not repeat samples unnoticed.
            shuffle: whether the loader's own sampler shuffles (`data.shuffles(loader)`).
            replace_sampler: `Trainer(use_distributed_sampler=...)`.
        """
        return loader

    def in_company(self, batches: Iterator[Any], limits: list[float]) -> Iterator[Any]:
        """The batches of an evaluation, as (batch, index, index of the loader), in step with the other processes.

        Args:
            limits: how many batches of each loader this process has.
        """
        return batches

    def set_epoch(self, loader: Any, epoch: int) -> None:
        """Tell samplers the epoch, so that each shuffles anew, the same way in all processes."""
        of_batches = getattr(loader, "batch_sampler", None)
        found = (getattr(loader, "sampler", None), of_batches, getattr(of_batches, "sampler", None))
        for sampler in {id(sampler): sampler for sampler in found}.values():
            set_epoch = getattr(sampler, "set_epoch", None)
            if callable(set_epoch):
                set_epoch(epoch)

    # -- a batch -----------------------------------------------------------------------------------------------------

    @property
    def moves_batches(self) -> bool:
        """Whether batches have to be moved. Read once; False saves the walk through every batch."""
        return self.root_device.type != "cpu"

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Gradients of an already scaled loss, by way of `LightningModule.backward`, which users may override."""
        assert self.module is not None
        self.module.backward(loss, *args, **kwargs)

    @property
    def adds_to_backward(self) -> bool:
        """Whether `backward` does more than the module's own. Read once; False saves calls in every batch."""
        return type(self).backward is not Strategy.backward

    def optimizer_step(
        self, optimizer: Optimizer, closure: Closure, before_step: Closure | None = None
    ) -> Any:
        """One optimizer step. `closure` computes gradients; `before_step` runs after it: hooks, then clipping."""
        return self.precision.optimizer_step(optimizer, closure, before_step)

    def block_grad_sync(self) -> AbstractContextManager[Any]:
        """Active around backward passes whose gradients are only accumulated, so that ranks do not talk for nothing."""
        return nullcontext()

    @property
    def syncs_gradients(self) -> bool:
        """Whether `block_grad_sync` does anything. Read once."""
        return False

    def clip_gradients(self, optimizer: Optimizer, value: float, algorithm: str) -> None:
        """Clip in place the gradients of the optimizer's parameters, by total "norm" or each "value"."""
        self.precision.clip_gradients(optimizer, value, algorithm)

    # -- between processes: the identity for one ----------------------------------------------------------------------

    def reduce(self, tensor: Tensor, op: str = "mean", group: Any = None) -> Tensor:
        """The mean, sum, min or max of `tensor` over all ranks, on every rank. Returns a new tensor or the same."""
        return tensor

    def all_gather(self, tensor: Tensor, group: Any = None, sync_grads: bool = False) -> Tensor:
        """All ranks' tensors, stacked: shape (world_size, *tensor.shape)."""
        return tensor

    def broadcast(self, value: Any, src: int = 0) -> Any:
        """Rank `src`'s picklable value, on every rank."""
        return value

    def gather(self, value: Any) -> list[Any]:
        """Every rank's picklable value, in their order, on every rank."""
        return [value]

    def barrier(self, name: str | None = None) -> None:
        """Wait until every rank is here."""

    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:
        """Whether all ranks (or, with `all=False`, any) decided True: used for stopping together."""
        return decision

    @property
    def model(self) -> Any:
        """The module, in its wrapper where it has one."""
        return self.module

    # -- checkpoints ----------------------------------------------------------------------------------------------------

    @property
    def saves_by_itself(self) -> bool:
        """Whether a process can save what it has without the others: after a failure they no longer answer."""
        return True

    def save_checkpoint(
        self, checkpoint: dict[str, Any], filepath: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint. Every rank calls this; rank 0 writes."""
        if self.is_global_zero:
            self.checkpoint_io.save_checkpoint(checkpoint, filepath, storage_options)

    def load_checkpoint(
        self, checkpoint_path: str | Path, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return self.checkpoint_io.load_checkpoint(checkpoint_path, weights_only=weights_only)

    def remove_checkpoint(self, filepath: str | Path) -> None:
        """Delete a checkpoint. Every rank calls this; rank 0 deletes."""
        if self.is_global_zero:
            self.checkpoint_io.remove_checkpoint(filepath)

    def module_state(self) -> dict[str, Any]:
        """The LightningModule's state_dict, whole, with the keys it has without a wrapper."""
        assert self.module is not None
        return self.module.state_dict()

    def load_module_state(self, state: Mapping[str, Any], strict: bool = True) -> None:
        assert self.module is not None
        self.module.load_state_dict(state, strict=strict)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        return optimizer.state_dict()

    lightning_restore_optimizer: bool = True
    """Whether a resumed fit calls `load_optimizer_state_dict`; False where the strategy restores optimizers itself."""

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Take up the optimizers' states from a checkpoint."""
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=False):
            self.load_optimizer_state(optimizer, state)

    def load_optimizer_state(self, optimizer: Optimizer, state: Mapping[str, Any]) -> None:
        optimizer.load_state_dict(dict(state))

    # -- the end ----------------------------------------------------------------------------------------------------------

    def place(self, value: Tensor, parameter: Tensor) -> Tensor:
        """A tensor of a checkpoint, of the parameter's shape, where and how the parameter is."""
        return value.to(parameter.device)

    def teardown(self) -> None:
        """Undo `setup_module`: unwrap, weights back to the CPU, caches freed. The process group may stay for the next call."""
        if self.module is not None and self.root_device.type != "cpu":
            self.module.cpu()
        self.accelerator.teardown()
        self.checkpoint_io.teardown()
