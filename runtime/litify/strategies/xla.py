"""All cores from one process: data parallelism by XLA's SPMD partitioner (torch_xla.distributed.spmd).

The program is written as for one device; XLA splits it. Batches are sharded over the cores along their first dimension,
weights are copied to all, and the compiler puts in the communication. So a loss is that of the whole batch, exactly as on
one device, and nothing here reduces, gathers or broadcasts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils._pytree import tree_leaves, tree_map_only

from litify.accelerators.xla import torch_xla
from litify.precision.base import Closure
from litify.strategies.base import Strategy

if TYPE_CHECKING:
    from litify.module import LightningModule

AXIS = "data"


class XLAStrategy(Strategy):
    """One process over all TPU cores of a machine.

    Operations are recorded and run as one compiled graph per optimizer step (`torch_xla.sync`); a step of the same shapes
    is not compiled again. Reading a value (`item`, printing) in a step would cut the graph in two; logged values are only
    read when they are shown.
    """

    name: ClassVar[str] = "xla"

    def __init__(self) -> None:
        super().__init__()
        self._mesh: Any = None
        self._seed: int | None = None

    @property
    def root_device(self) -> torch.device:
        self._take_all()  # before a script puts its first tensor there
        return self.devices[0]  # with SPMD the one virtual device that stands for all

    # -- set-up ----------------------------------------------------------------------------------------------------------

    def setup_environment(self) -> None:
        xla = torch_xla()
        self._take_all()
        if (
            self._seed != torch.initial_seed()
        ):  # XLA has a generator of its own; the script's seed is meant for it too
            self._seed = torch.initial_seed()
            xla.manual_seed(self._seed % 2**63)
        super().setup_environment()

    def _take_all(self) -> None:
        """Make one virtual device of all cores: of tensors that are on a core already, torch_xla would make copies."""
        cores = len(self.devices)
        if cores > 1 and self._mesh is None:
            xla = torch_xla()
            if not xla.runtime.is_spmd():
                xla.runtime.use_spmd()
            self._mesh = xla.distributed.spmd.Mesh(list(range(cores)), (cores,), (AXIS,))

    def setup_module(self, module: LightningModule, training: bool) -> None:
        with same_parameters():
            super().setup_module(module, training)

    def step_function(self, name: str) -> Callable[..., Any]:
        step, xla, mesh = super().step_function(name), torch_xla(), self._mesh
        training = name == "training_step"

        def sharded_step(*args: Any, **kwargs: Any) -> Any:
            if mesh is not None:
                shard(xla, mesh, (args, kwargs))
            result = step(*args, **kwargs)
            if not training:  # a training step's graph goes on to the end of its optimizer step
                xla.sync()
            return result

        return sharded_step

    # -- a batch -----------------------------------------------------------------------------------------------------------

    def optimizer_step(
        self, optimizer: Optimizer, closure: Closure, before_step: Closure | None = None
    ) -> Any:
        result = super().optimizer_step(optimizer, closure, before_step)
        torch_xla().sync()
        return result

    # -- checkpoints: on the CPU, so that any machine can load them ----------------------------------------------------------

    def module_state(self) -> dict[str, Any]:
        return on_cpu(super().module_state())

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        return on_cpu(super().optimizer_state(optimizer))

    # -- the end ---------------------------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        torch_xla().sync(wait=True)
        with same_parameters():
            super().teardown()


def shard(xla: Any, mesh: Any, batch: Any) -> None:
    """Spread each tensor of a batch, in place, over the mesh along its first dimension.

    A layout, not a meaning: a tensor whose first dimension is not that of the batch gives the same results, at some cost.
    """
    for leaf in tree_leaves(batch):
        if isinstance(leaf, Tensor) and leaf.device.type == "xla" and leaf.dim() > 0:
            xla.distributed.spmd.mark_sharding(leaf, mesh, (AXIS, *[None] * (leaf.dim() - 1)))


def on_cpu(state: dict[str, Any]) -> dict[str, Any]:
    """A copy of a state with its tensors on the CPU; fetched together, as each wait costs a round trip."""
    torch_xla().sync()
    moved: dict[str, Any] = tree_map_only(Tensor, lambda tensor: tensor.cpu(), state)
    return moved


@contextmanager
def same_parameters() -> Iterator[None]:
    """Within, `module.to(...)` moves parameters in place, where for XLA it would make new ones: shared weights stay shared,
    and optimizers go on holding the module's own parameters."""
    before = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        yield
    finally:
        torch.__future__.set_swap_module_params_on_conversion(before)
