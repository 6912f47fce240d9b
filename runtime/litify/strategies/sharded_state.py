"""How a module whose parameters are spread over processes goes into checkpoints, and comes out of them: whole, or in shards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from litify.plugins import sharded_checkpoint
from litify.plugins.checkpoint_io import (
    TorchCheckpointIO,
    beside,
    load,
    not_written,
    os_error,
    put_in_place,
    remove,
)  # fmt: skip
from litify.strategies import sharding
from litify.strategies.parallel import ParallelStrategy

if TYPE_CHECKING:
    from litify.strategies.sharding import Sharded


class ShardedCheckpoints(ParallelStrategy):
    """The half of FSDPStrategy that writes and reads.

    A checkpoint that is loaded holds tensors of device "meta" in place of those in shards; they are read, each process its part,
    when module and optimizers are there to take them.
    """

    state_dict_type: str
    _sharded: Sharded | None
    _folder: Path | None = None  # the sharded checkpoint that was loaded last
    _pending: Mapping[str, Any] | None = None  # weights that wait until the module is sharded

    @property
    def saves_by_itself(self) -> bool:
        """False with several processes: each holds a part, so that all must save together."""
        return self.world_size == 1

    def save_checkpoint(
        self, checkpoint: dict[str, Any], filepath: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint, a file or a folder. Every rank calls this, and writes or sends its part.

        Raises:
            OSError: it cannot be written; what was there before, is.
        """
        if self.state_dict_type == "full":
            super().save_checkpoint(self._gathered(checkpoint), filepath, storage_options)
            return
        path = Path(filepath)
        temporary = self.broadcast(beside(path))  # under the name that rank 0 would give it
        try:
            sharded_checkpoint.write(checkpoint, temporary, self.global_rank)
        except BaseException as error:
            if self.is_global_zero and temporary.exists():
                remove(temporary)
            cause = os_error(error)
            if cause is None:
                raise
            raise not_written(path, cause) from None
        if self.is_global_zero:
            put_in_place(temporary, path)

    def _gathered(self, checkpoint: dict[str, Any]) -> dict[str, Any]:
        """The checkpoint with whole tensors, on rank 0; the others keep nothing, one tensor after another."""
        rank = self.global_rank

        def gather(key: str, tensor: Tensor) -> Any:
            found = sharding.whole(tensor, self.root_device)
            return found if rank == 0 or not isinstance(tensor, DTensor) else None

        gathered: dict[str, Any] = sharded_checkpoint.walk(checkpoint, gather)
        return gathered

    def load_checkpoint(
        self, checkpoint_path: str | Path, weights_only: bool | None = None
    ) -> dict[str, Any]:
        self._folder = None
        path = Path(checkpoint_path)
        if path.is_dir() and type(self.checkpoint_io) is TorchCheckpointIO:
            self._folder = path
            return self._with_few(sharded_checkpoint.read_meta(path, weights_only), path)
        if type(self.checkpoint_io) is TorchCheckpointIO and path.is_file():
            return load(path, weights_only=weights_only, mmap=True)
        return super().load_checkpoint(checkpoint_path, weights_only)

    def _with_few(self, checkpoint: dict[str, Any], folder: Path) -> dict[str, Any]:
        """A checkpoint in which only the tensors of module and optimizers are missing still."""
        few: dict[str, Tensor] = {}

        def make(key: str, tensor: Tensor) -> Tensor:
            if not tensor.is_meta or key.startswith((f"{sharded_checkpoint.WEIGHTS}.", "optimizer_states.")):
                return tensor
            few[key] = torch.empty(tensor.shape, dtype=tensor.dtype)
            return few[key]

        found: dict[str, Any] = sharded_checkpoint.walk(checkpoint, make)
        sharded_checkpoint.fill(folder, few, alone=True)
        return found

    def load_module_state(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Weights of a checkpoint, or of `module_state`; those of shards wait until the module is sharded too."""
        assert self.module is not None
        current = self.module.state_dict()
        known = [value for value in (*state.values(), *current.values()) if isinstance(value, Tensor)]
        if not any(value.is_meta or isinstance(value, DTensor) for value in known):
            super().load_module_state(state, strict)
            return
        _compare(state, current, strict, type(self.module).__name__)
        if self._sharded is None:
            self._pending = state
        else:
            self._load(state)

    def _load(self, state: Mapping[str, Any]) -> None:
        assert self.module is not None
        current, shards, rest = self.module.state_dict(), {}, {}
        for name, value in state.items():
            if not isinstance(value, Tensor):
                rest[name] = value  # what modules keep besides tensors (get_extra_state)
            elif name in current and value.is_meta:
                shards[f"{sharded_checkpoint.WEIGHTS}.{name}"] = current[name]
            elif name in current:
                with torch.no_grad():
                    current[name].copy_(sharding.like(value, current[name]))
        if shards:
            assert self._folder is not None
            sharded_checkpoint.fill(self._folder, shards, alone=False)
        if rest:
            self.module.load_state_dict(rest, strict=False)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        for index, (optimizer, state) in enumerate(
            zip(self.optimizers, checkpoint["optimizer_states"], strict=False)
        ):
            self.load_optimizer_state(optimizer, state, index)

    def load_optimizer_state(self, optimizer: Optimizer, state: Mapping[str, Any], index: int = 0) -> None:
        """Take up a state, whole or in shards, spread as the parameters are.

        Args:
            index: which of the checkpoint's optimizer states it is.
        """
        if "param_groups" not in state:
            super().load_optimizer_state(optimizer, state)
            return
        parameters = [each for group in optimizer.param_groups for each in group["params"]]
        numbers = [number for group in state["param_groups"] for number in group["params"]]
        owners = dict(zip(numbers, parameters, strict=False))
        shards: dict[str, Tensor] = {}

        def place(key: str, value: Tensor) -> Tensor:
            number = key.split(".")[0]
            owner = owners.get(int(number)) if number.isdigit() else None
            if not value.is_meta:
                return value if owner is None else sharding.like(value, owner)
            spread = sharding.like(torch.empty(value.shape, dtype=value.dtype), owner)  # type: ignore[arg-type]
            shards[f"optimizer_states.{index}.state.{key}"] = spread
            return spread

        placed = sharded_checkpoint.walk(dict(state["state"]), place)
        if shards:
            assert self._folder is not None
            sharded_checkpoint.fill(self._folder, shards, alone=False)
        optimizer.load_state_dict({**state, "state": placed})

    def place(self, value: Tensor, parameter: Tensor) -> Tensor:
        return sharding.like(value, parameter)


def _compare(state: Mapping[str, Any], current: Mapping[str, Any], strict: bool, name: str) -> None:
    """Refuse weights of another module, as `load_state_dict` does.

    Raises:
        RuntimeError: missing and unexpected names (with `strict`), and other shapes.
    """
    wrong = []
    if strict:
        wrong += [f"missing {key}" for key in current.keys() - state.keys()]
        wrong += [f"unexpected {key}" for key in state.keys() - current.keys()]
    for key in state.keys() & current.keys():
        theirs, ours = getattr(state[key], "shape", None), getattr(current[key], "shape", None)
        if theirs != ours:
            wrong.append(f"{key} has the shape {tuple(theirs or ())}, not {tuple(ours or ())}")
    if wrong:
        raise RuntimeError(f"state_dict of {name}: {', '.join(sorted(wrong))}")
