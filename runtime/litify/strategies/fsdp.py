"""One process per device, each with its part of every parameter: torch's FSDP2 (`torch.distributed.fsdp.fully_shard`).

Parameters, gradients and optimizer states are spread over the processes. A part of the module (a layer of a transformer, say) is
gathered when it is called, in the forward and again in the backward pass, and let go after it. `sharding.py` does that to a
module and undoes it; `sharded_state.py` fits it into checkpoints, and this file into a fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.optim import LBFGS, Optimizer

from litify.errors import MisconfigurationException
from litify.plugins.checkpoint_io import TorchCheckpointIO
from litify.precision.mixed import MixedPrecision
from litify.strategies.parallel import broadcast_tensors
from litify.strategies.sync_batchnorm import sync_batchnorm

try:
    from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy

    from litify.strategies import sharding
    from litify.strategies.sharded_state import ShardedCheckpoints
except ImportError as error:
    raise MisconfigurationException(
        f"strategy='fsdp' is made of torch.distributed.fsdp.fully_shard, which torch {torch.__version__} has not: install torch 2.6 or newer."
    ) from error

if TYPE_CHECKING:
    from litify.accelerators.base import Accelerator
    from litify.module import LightningModule
    from litify.plugins.checkpoint_io import CheckpointIO
    from litify.plugins.environments import ClusterEnvironment
    from litify.precision.base import Precision

# Lightning's names for how much is spread -> reshard_after_forward
STRATEGIES: dict[str, bool | None] = {"FULL_SHARD": None, "SHARD_GRAD_OP": False, "HYBRID_SHARD": None}
KEY = "_sharded_by_fsdp"  # where a module that stays sharded keeps its Sharded
# They hold copies of the module's weights, or masks on them, which know nothing of parts.
REFUSED = ("WeightAveraging", "StochasticWeightAveraging", "ModelPruning")


class FSDPStrategy(ShardedCheckpoints):
    """Fully sharded data parallelism, for models that do not fit on one device together with gradients and optimizer states.

    The steps taken are those of DDP. What `configure_model` has sharded by `fully_shard` stays as it is there; otherwise
    `auto_wrap_policy` chooses. All that is left is gathered at the beginning of a step and let go after its backward pass.

    Args:
        accelerator, parallel_devices, cluster_environment, checkpoint_io, precision_plugin, process_group_backend, timeout,
            start_method, sync_batchnorm: see `ParallelStrategy`.
        auto_wrap_policy: which submodules are gathered by themselves: classes, or a policy function of
            torch.distributed.fsdp.wrap. Default: the layers of each list of layers (ModuleList, Sequential, ModuleDict) that are of
            one class and have `min_num_params` parameters.
        min_num_params: the size from which that pays.
        activation_checkpointing_policy: submodules whose activations are computed again in the backward pass, to save memory:
            classes or a policy function as above; True: those that are gathered by themselves.
        mixed_precision: a torch MixedPrecisionPolicy in place of what Trainer(precision=...) means: for "bf16-mixed" weights
            gathered in 16 bit and gradients reduced in 32, else as they are.
        cpu_offload: keep parameters, gradients and optimizer states in CPU memory.
        reshard_after_forward: False keeps gathered parts for the backward pass: less talk, more memory. A number: spread them over
            so many processes meanwhile.
        sharding_strategy: Lightning's word for it: "FULL_SHARD"; "SHARD_GRAD_OP" is reshard_after_forward=False; "HYBRID_SHARD" spreads
            within a node and copies to the others.
        device_mesh: for "HYBRID_SHARD": (copies, processes that share one copy), or a DeviceMesh.
        state_dict_type: "full": checkpoints are single files, as those of every strategy, gathered on rank 0; and after fit the
            module has whole weights in each process. "sharded": checkpoints are folders to which each process writes its part
            (`consolidate` makes a file of one), and the module is never whole. Either loads into any number of processes.

    Raises:
        MisconfigurationException: arguments that do not go together.
    """

    name: ClassVar[str] = "fsdp"
    infers: ClassVar[bool] = False  # the memory that parameters are gathered in

    def __init__(
        self,
        accelerator: Accelerator | None = None,
        parallel_devices: list[torch.device] | None = None,
        cluster_environment: ClusterEnvironment | None = None,
        checkpoint_io: CheckpointIO | None = None,
        precision_plugin: Precision | None = None,
        process_group_backend: str | None = None,
        timeout: timedelta = timedelta(minutes=30),
        cpu_offload: bool | None = None,
        mixed_precision: MixedPrecisionPolicy | None = None,
        auto_wrap_policy: sharding.Policy | None = None,
        activation_checkpointing_policy: sharding.Policy | Literal[True] | None = None,
        sharding_strategy: str = "FULL_SHARD",
        state_dict_type: Literal["full", "sharded"] = "full",
        device_mesh: tuple[int, int] | DeviceMesh | None = None,
        reshard_after_forward: bool | int | None = None,
        min_num_params: int = 100_000,
        start_method: str = "popen",
        sync_batchnorm: bool = False,
    ) -> None:
        super().__init__(
            accelerator, parallel_devices, cluster_environment, checkpoint_io, precision_plugin, process_group_backend, timeout,
            start_method, sync_batchnorm,
        )  # fmt: skip
        sharding_strategy = getattr(
            sharding_strategy, "name", sharding_strategy
        )  # an enumeration of torch's FSDP1
        _check(state_dict_type, sharding_strategy, mixed_precision, start_method)
        self.sharding_strategy, self.state_dict_type = sharding_strategy, state_dict_type
        self.cpu_offload = bool(getattr(cpu_offload, "offload_params", cpu_offload))
        self.mixed_precision = mixed_precision
        self.auto_wrap_policy, self.min_num_params = auto_wrap_policy, min_num_params
        self.activation_checkpointing_policy = activation_checkpointing_policy
        kept = STRATEGIES[sharding_strategy] if reshard_after_forward is None else reshard_after_forward
        self.reshard_after_forward = kept
        self._mesh = device_mesh
        self._sharded: sharding.Sharded | None = None
        self._trace: list[Any] | None = (
            None  # the order in which the latest evaluation step gathered parameters
        )

    def connect(
        self, accelerator: Accelerator, precision: Precision, devices: Any, num_nodes: int = 1
    ) -> None:
        """As the base class.

        Raises:
            MisconfigurationException: hardware that FSDP does not run on, or a mesh that is not of as many processes.
        """
        super().connect(accelerator, precision, devices, num_nodes)
        if accelerator.device_type not in ("cpu", "cuda"):
            raise MisconfigurationException(
                f"strategy='fsdp' runs on CUDA GPUs and CPUs, not on {accelerator.name}; use one device, or accelerator='cpu'."
            )
        if self.state_dict_type == "sharded" and type(self.checkpoint_io) is not TorchCheckpointIO:
            raise MisconfigurationException(
                f"FSDPStrategy(state_dict_type='sharded') writes its folders itself, so {type(self.checkpoint_io).__name__} would have no "
                "effect: leave it out, or pass state_dict_type='full'."
            )
        if self.sharding_strategy == "HYBRID_SHARD" and self._mesh is None:
            self._mesh = (num_nodes, self.world_size // num_nodes)
        if isinstance(self._mesh, tuple) and self._mesh[0] * self._mesh[1] != self.world_size:
            raise MisconfigurationException(
                f"FSDPStrategy(device_mesh={self._mesh}) is a mesh of {self._mesh[0] * self._mesh[1]} processes, but {self.world_size} train."
            )

    @property
    def device_mesh(self) -> DeviceMesh:
        """The processes over which parameters are spread; with two dimensions (replicate, shard). There from `setup` hooks on."""
        if not isinstance(self._mesh, DeviceMesh):
            shape = self._mesh or (self.world_size,)
            names = ("replicate", "shard")[-len(shape) :]
            self._mesh = init_device_mesh(self.accelerator.device_type, shape, mesh_dim_names=names)
        return self._mesh

    @property
    def model(self) -> Any:
        return (
            self._sharded.steps
            if self._sharded is not None and self._sharded.steps is not None
            else self.module
        )

    # -- set-up ----------------------------------------------------------------------------------------------------------

    def setup_environment(self) -> None:
        """As the base class.

        Raises:
            MisconfigurationException: callbacks that work on whole weights; said before a process starts.
        """
        trainer = self.module._trainer if self.module is not None else None
        for callback in trainer.callbacks if trainer is not None else ():
            for kind in type(callback).__mro__:
                if kind.__name__ in REFUSED and kind.__module__.startswith("litify."):
                    raise MisconfigurationException(
                        f"{type(callback).__name__} works on whole weights, which FSDP spreads over processes: leave it out, or use "
                        "strategy='ddp'."
                    )
        if self.cpu_offload and self.accelerator.device_type == "cuda" and self.process_group_backend is None:
            self.process_group_backend = "cpu:gloo,cuda:nccl"  # norms of gradients that lie on the CPU
        super().setup_environment()

    def setup_module(self, module: LightningModule, training: bool) -> None:
        """Shard the module, for evaluation too: it may not fit anywhere otherwise. Then give it the weights that wait for that."""
        self.module = module
        self._trace = None
        found = vars(module).get(KEY)  # of an earlier call, with state_dict_type="sharded"
        if found is None:
            self.precision.convert_module(module)
            if self.sync_batchnorm and training:
                sync_batchnorm(module, self.root_device)
            self._shard(module)
        else:
            self._sharded = found
        if self._pending is not None:
            self._load(self._pending)
            self._pending = None

    def _shard(self, module: LightningModule) -> None:
        options = {
            "mesh": self.device_mesh,
            "mp_policy": self.mixed_precision or _mixed(self.precision),
            "reshard_after_forward": self.reshard_after_forward,
        }
        if self.cpu_offload:
            options["offload_policy"] = CPUOffloadPolicy(pin_memory=self.accelerator.device_type == "cuda")
        recomputed = self._recomputed(module)
        context = self.precision.forward_context
        made = sharding.shard(
            module, self.root_device, options, self.auto_wrap_policy, self.min_num_params, context
        )
        sharding.materialize(made, torch.device("cpu") if self.cpu_offload else self.root_device)
        for buffer in module.buffers():
            buffer.data = buffer.data.to(self.root_device)
        broadcast_tensors(module.buffers())
        if recomputed is None:
            recomputed = [part for part in made.parts if part not in made.roots]
        sharding.checkpoint_activations(recomputed)
        if made.steps is not None:
            with torch.no_grad():
                made.steps()  # the first module that torch sees entered is the root of all: none of the parts may come before
        made.reshard()
        vars(module)[KEY] = self._sharded = made  # not by setattr: it would become a submodule

    def _recomputed(self, module: LightningModule) -> list[nn.Module] | None:
        """The modules of `activation_checkpointing_policy`, found before sharding changes their classes; None: all parts."""
        policy = self.activation_checkpointing_policy
        if policy is True:
            return None
        return (
            []
            if policy is None
            else [each for each in sharding.matching(module, policy) if each is not module]
        )

    def setup_optimizers(self, optimizers: list[Optimizer]) -> list[Optimizer]:
        """As the base class.

        Raises:
            MisconfigurationException: optimizers that cannot step parts of parameters, or whose parameters are not the module's.
        """
        assert self.module is not None
        own = {id(each) for each in self.module.parameters()}
        for optimizer in optimizers:
            if isinstance(optimizer, LBFGS):
                raise MisconfigurationException(
                    "LBFGS looks at all parameters as one vector, which FSDP spreads over processes: use strategy='ddp'."
                )
            if any(
                id(each) not in own
                for group in optimizer.param_groups
                for each in group["params"]
                if each.dim()
            ):
                raise MisconfigurationException(
                    f"{type(optimizer).__name__} steps parameters that are not (or no longer) the module's: sharding makes new ones. Make the "
                    "optimizer in configure_optimizers, from self.parameters()."
                )
        return super().setup_optimizers(optimizers)

    def step_function(self, name: str) -> Callable[..., Any]:
        return self._training_step() if name == "training_step" else self._evaluation_step(name)

    def _training_step(self) -> Callable[..., Any]:
        sharded, module = self._sharded, self.module
        assert sharded is not None and module is not None

        def training_step(*args: Any, **kwargs: Any) -> Any:
            with sharded.in_step():
                if sharded.steps is None:
                    return module.training_step(*args, **kwargs)
                return sharded.steps("training_step", *args, **kwargs)

        return self.with_common_buffers(training_step) if self.world_size > 1 else training_step

    def _evaluation_step(self, name: str) -> Callable[..., Any]:
        sharded = self._sharded
        assert sharded is not None and self.module is not None
        steps, plain = sharded.steps, getattr(self.module, name)

        def evaluation_step(*args: Any, **kwargs: Any) -> Any:
            sharded.trace = []
            with sharded.in_step():
                output = plain(*args, **kwargs) if steps is None else steps(name, *args, **kwargs)
            self._trace = sharded.trace
            sharded.reshard()  # torch keeps the root's parameters whole for a backward pass, which does not come
            return output

        return evaluation_step

    # -- a batch -----------------------------------------------------------------------------------------------------------

    @contextmanager
    def _unsynced(self) -> Iterator[None]:
        assert self._sharded is not None
        self._sharded.set_requires_gradient_sync(False)
        try:
            yield
        finally:
            self._sharded.set_requires_gradient_sync(True)

    def block_grad_sync(self) -> AbstractContextManager[Any]:
        """Active around backward passes whose gradients are only accumulated; each process holds them whole meanwhile."""
        return self._unsynced()

    @property
    def syncs_gradients(self) -> bool:
        return self.world_size > 1

    def in_company(self, batches: Iterator[Any], limits: list[float]) -> Iterator[Any]:
        """Batches of an evaluation, in which all processes take part: one that has none joins in gathering the parameters.

        Raises:
            MisconfigurationException: this process has no batch at all, and so does not know in which order they are gathered.
        """
        over = len(limits)
        batch = next(batches, None)
        while True:
            mine = over if batch is None else batch[2] or 0  # the loader that the batch is of
            first, last = self.reduce(torch.tensor([mine, -mine]), "min").tolist()
            if first == over:
                return
            if mine > first:
                self._follow()
                continue
            self.alone = -last != first
            try:
                yield batch
            finally:
                self.alone = False
            batch = next(batches, None)

    def _follow(self) -> None:
        """Join in gathering the parameters of an evaluation step that only others do."""
        if self._trace is None or self._sharded is None:
            raise MisconfigurationException(
                f"Rank {self.global_rank} has no evaluation batch where others have some; give each process at least one."
            )
        with torch.no_grad():
            self._sharded.follow(self._trace)

    # -- the end -------------------------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        """With state_dict_type="full", make the module whole again; else, and after a failure, it stays sharded."""
        sharded, self._sharded, self._pending = self._sharded, None, None
        trainer = self.module._trainer if self.module is not None else None
        failed = trainer is not None and trainer.interrupted and self.world_size > 1
        if sharded is None:
            super().teardown()
            return
        if self.state_dict_type == "full" and not failed:
            sharding.make_whole(sharded, self.root_device)
            vars(sharded.module).pop(KEY, None)
            super().teardown()
            return
        self.accelerator.teardown()
        self.checkpoint_io.teardown()


def _check(kind: str, strategy: str, policy: Any, start_method: str) -> None:
    if kind not in ("full", "sharded"):
        raise MisconfigurationException(f"FSDPStrategy(state_dict_type={kind!r}): pass 'full' or 'sharded'.")
    if strategy not in STRATEGIES:
        hint = "; strategy='ddp' is the one that shards nothing" if strategy == "NO_SHARD" else ""
        raise MisconfigurationException(
            f"FSDPStrategy(sharding_strategy={strategy!r}): pass one of {', '.join(STRATEGIES)}{hint}."
        )
    if policy is not None and not isinstance(policy, MixedPrecisionPolicy):
        raise MisconfigurationException(
            f"FSDPStrategy(mixed_precision=...) takes torch.distributed.fsdp.MixedPrecisionPolicy (FSDP2), not {type(policy).__name__}."
        )
    if kind == "sharded" and start_method != "popen":
        raise MisconfigurationException(
            f"FSDPStrategy(state_dict_type='sharded', start_method={start_method!r}): parts of weights cannot come back from other "
            "processes; pass state_dict_type='full'."
        )


def _mixed(precision: Precision) -> MixedPrecisionPolicy:
    """For bf16-mixed: weights gathered in 16 bit, gradients reduced in 32. What operations compute in, autocast says as everywhere.

    For 16-mixed weights are gathered in 32 bit, as gradients of float16 weights overflow where those of float32 weights, which
    autocast casts, do not.
    """
    if precision.precision != "bf16-mixed" or not isinstance(precision, MixedPrecision):
        return MixedPrecisionPolicy()
    return MixedPrecisionPolicy(precision.dtype, torch.float32, cast_forward_inputs=False)
