"""Spreading a module's parameters over processes by FSDP2's `fully_shard`, choosing what is gathered together, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.distributed._composable.contract import REGISTRY_KEY, STATE_KEY
from torch.distributed._composable_state import _module_state_mapping
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, Replicate, distribute_tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from litify.errors import MisconfigurationException
from litify.strategies.parallel import broadcast_tensors

if TYPE_CHECKING:
    from litify.module import LightningModule

LISTS = (nn.ModuleList, nn.Sequential, nn.ModuleDict)
Policy = type[nn.Module] | Collection[type[nn.Module]] | Callable[..., bool]
"""Classes of modules; or, as torch's own policies, a function of (module, recurse, nonwrapped_numel)."""


# -- what is gathered together ------------------------------------------------------------------------------------------------


def repeated_layers(module: nn.Module, least: int) -> Iterator[nn.Module]:
    """The layers of a list of layers: the outermost children of a ModuleList, ModuleDict or Sequential that are of one class
    at least twice and have `least` parameters or more."""
    children = list(module.children())
    kinds = [type(child) for child in children]
    for child in children:
        layer = isinstance(module, LISTS) and not isinstance(child, LISTS) and kinds.count(type(child)) > 1
        if layer and sum(parameter.numel() for parameter in child.parameters()) >= least:
            yield child
        else:
            yield from repeated_layers(child, least)


def matching(module: nn.Module, policy: Policy) -> Iterator[nn.Module]:
    """The modules within `module` that a policy wants, inner ones first."""
    if isinstance(policy, (type, Collection)):
        kinds = (policy,) if isinstance(policy, type) else tuple(policy)
        yield from (child for child in reversed(list(module.modules())) if isinstance(child, kinds))
        return
    yield from _wanted(module, policy, set())


def _wanted(module: nn.Module, policy: Callable[..., bool], taken: set[int]) -> Iterator[nn.Module]:
    def left(within: nn.Module) -> int:
        return sum(each.numel() for each in within.parameters() if id(each) not in taken)

    for child in module.children():
        if policy(module=child, recurse=True, nonwrapped_numel=left(child)):
            yield from _wanted(child, policy, taken)
        if policy(module=child, recurse=False, nonwrapped_numel=left(child)):
            taken.update(id(each) for each in child.parameters())
            yield child


def owned_alone(module: nn.Module, parts: list[nn.Module]) -> list[nn.Module]:
    """Those parts that share no parameter with the rest of the module: tied weights have to be gathered in one go."""
    everywhere = [
        (owner, each) for owner in module.modules() for each in owner._parameters.values() if each is not None
    ]

    def alone(part: nn.Module) -> bool:
        inside = set(part.modules())
        own = {id(each) for each in part.parameters()}
        return bool(own) and not any(id(each) in own and owner not in inside for owner, each in everywhere)

    return [part for part in dict.fromkeys(parts) if alone(part)]


# -- the way there ------------------------------------------------------------------------------------------------------------


class Steps(nn.Module):
    """A module whose forward is a step of the LightningModule, by name; None only gathers.

    It is the root of what is sharded: parameters that are in no part of their own are whole from the beginning of a step to its
    end, whichever way the step comes to use them.
    """

    def __init__(self, module: LightningModule) -> None:
        super().__init__()
        self.module = module

    def forward(self, name: str | None = None, *args: Any, **kwargs: Any) -> Any:
        return None if name is None else getattr(self.module, name)(*args, **kwargs)


class Sharded:
    """A LightningModule whose parameters are spread over processes.

    Where the module or one of its children is called outside of a step (to draw samples at the end of an epoch, say), the root's
    parameters are made whole for that call.

    Args:
        roots: what is entered first in a step: a `Steps`, or under manual optimization the module's children.
        context: what calls outside of a step run in (autocast, as gathered weights may have 16 bit).
        keeps: whether parts stay whole from the forward to the backward pass.

    Attributes:
        parts: everything that is gathered in one go, the roots included, each before what is inside it.
        trace: the parts that were entered since it was cleared, in order.
    """

    def __init__(
        self,
        module: LightningModule,
        roots: list[nn.Module],
        context: Callable[[], AbstractContextManager[Any]],
        keeps: bool,
    ) -> None:
        self.module, self.roots, self._context, self._keeps = module, roots, context, keeps
        self.steps = roots[0] if roots and isinstance(roots[0], Steps) else None
        every = dict.fromkeys(each for root in roots for each in root.modules())
        self.parts = [part for part in every if isinstance(part, FSDPModule)]
        self.trace: list[FSDPModule] = []
        self._depth = 0
        self._entered: AbstractContextManager[Any] = nullcontext()
        for part in self.parts:
            cast(nn.Module, part).register_forward_pre_hook(self._note, prepend=True)
        for called in (module, *module.children()):
            called.register_forward_pre_hook(self._enter, prepend=True)
            called.register_forward_hook(self._leave, always_call=True)

    @torch.compiler.disable  # type: ignore[untyped-decorator, unused-ignore]
    def _note(self, part: nn.Module, *_: Any) -> None:
        self.trace.append(cast(FSDPModule, part))

    @torch.compiler.disable  # type: ignore[untyped-decorator, unused-ignore]
    def _enter(self, *_: Any) -> None:
        if self._depth == 0:
            if self.steps is not None:
                cast(FSDPModule, self.steps).unshard()
            self._entered = self._context()
            self._entered.__enter__()
        self._depth += 1

    @torch.compiler.disable  # type: ignore[untyped-decorator, unused-ignore]
    def _leave(self, *_: Any) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._entered.__exit__(None, None, None)
            if self.steps is not None:
                cast(FSDPModule, self.steps).reshard()

    @contextmanager
    def in_step(self) -> Iterator[None]:
        """Around a step, in which the root's parameters are whole."""
        self._depth += 1
        try:
            with explained():
                yield
        finally:
            self._depth -= 1

    def reshard(self) -> None:
        """Let go of whatever is whole."""
        for part in self.parts:
            part.reshard()

    def follow(self, trace: list[FSDPModule]) -> None:
        """Take part in the gathering of a step that only other processes do, in which these parts are entered."""
        for part in trace:
            part.unshard()
            if not self._keeps and cast(nn.Module, part) is not self.steps:
                part.reshard()
        self.reshard()

    def set_requires_gradient_sync(self, value: bool) -> None:
        for root in self.roots:
            cast(FSDPModule, root).set_requires_gradient_sync(value)


def shard(
    module: LightningModule,
    device: torch.device,
    options: dict[str, Any],
    policy: Policy | None,
    least: int,
    context: Callable[[], AbstractContextManager[Any]],
) -> Sharded:
    """Spread the parameters, in place. Rank 0's are taken; those of device "meta" get memory, but no values yet.

    Args:
        device: where to.
        options: of `fully_shard`.
        policy: which modules are gathered by themselves; None: `repeated_layers` of `least` parameters.
        context: see `Sharded`.

    Raises:
        MisconfigurationException: under manual optimization, parameters that are in no submodule.
    """
    if isinstance(module, FSDPModule):
        raise MisconfigurationException(
            f"configure_model shards {type(module).__name__} itself; leave fully_shard(self) out: the strategy shards what is left "
            "after the submodules."
        )
    if not any(isinstance(part, FSDPModule) for part in module.modules()):  # else configure_model has chosen
        chosen = repeated_layers(module, least) if policy is None else matching(module, policy)
        parts = owned_alone(
            module, [part for part in chosen if part is not module and not _is_bare_list(part)]
        )
        for part in sorted(parts, key=lambda part: len(list(part.modules()))):  # inner ones first
            _shard(part, device, options)
    for norm in module.modules():
        if isinstance(norm, _BatchNorm) and options["mp_policy"].param_dtype is not None and _left(norm):
            whole = {**options, "mp_policy": type(options["mp_policy"])()}
            _shard(norm, device, whole)  # its statistics have 32 bit, and torch wants weights of the same
    if module.automatic_optimization:
        roots: list[nn.Module] = [Steps(module)]
        _shard(roots[0], device, options)
    else:
        roots = _shard_children(module, device, options)
    return Sharded(module, roots, context, options["reshard_after_forward"] is False)


def _shard_children(
    module: LightningModule, device: torch.device, options: dict[str, Any]
) -> list[nn.Module]:
    """Under manual optimization a step holds backward passes, and gradients are exchanged when the root's backward pass is over:
    so it can't be around the step, and each child is a root."""
    direct = [name for name, each in module._parameters.items() if each is not None]
    if direct:
        raise MisconfigurationException(
            f"{type(module).__name__} has parameters of its own ({', '.join(direct)}), which FSDP cannot shard under manual optimization: "
            "put them into a submodule, or use strategy='ddp'."
        )
    # torch would keep a root whole until its backward pass, and not notice parameters frozen meanwhile (toggle_optimizer).
    if options["reshard_after_forward"] is None:
        options = {**options, "reshard_after_forward": True}
    roots: list[nn.Module] = []
    lists = [module]
    while lists:
        for child in lists.pop().children():
            if _is_bare_list(child):
                lists.append(cast(Any, child))
            elif any(True for _ in child.parameters()):
                if not isinstance(child, FSDPModule):
                    _shard(child, device, options)
                roots.append(child)
    return roots


def _is_bare_list(module: nn.Module) -> bool:
    return isinstance(module, (nn.ModuleList, nn.ModuleDict)) and type(module).forward is nn.Module.forward


def _left(module: nn.Module) -> list[nn.Parameter]:
    """Parameters that are not sharded yet."""
    return [each for each in module.parameters() if not isinstance(each, DTensor)]


def _shard(module: nn.Module, device: torch.device, options: dict[str, Any]) -> None:
    """One part: moved, made that of rank 0, sharded. Part by part, so that no device ever holds the whole module."""
    own = [each for each in _left(module) if not each.is_meta]
    for each in own:
        each.data = each.data.to(device)
    broadcast_tensors(own)
    root = (
        {"reshard_after_forward": None} if isinstance(module, Steps) else {}
    )  # needed again at once: torch keeps the root's
    fully_shard(module, **{**options, **root})


def materialize(sharded: Sharded, device: torch.device) -> None:
    """Give parameters and buffers of device "meta" memory and, by `reset_parameters`, first values.

    Raises:
        MisconfigurationException: a module that has some, but no such method.
    """
    owners = [
        owner
        for owner in sharded.module.modules()
        if any(
            each is not None and each.is_meta
            for each in (*owner._parameters.values(), *owner._buffers.values())
        )
    ]
    for owner in owners:
        owner.to_empty(device=device, recurse=False)
    for owner in owners:
        reset = getattr(owner, "reset_parameters", None)
        if reset is None:
            raise MisconfigurationException(
                f"{type(owner).__name__} was made on device 'meta', and has no reset_parameters() to give its weights first values: define it."
            )
        reset()


def checkpoint_activations(parts: list[nn.Module]) -> None:
    """Have these modules compute their activations again in the backward pass, in place of keeping them; in place."""
    for part in parts:
        part.forward = partial(checkpoint, part.forward, use_reentrant=False)


# -- tensors --------------------------------------------------------------------------------------------------------------------


def like(value: Tensor, current: Tensor) -> Tensor:
    """A whole tensor, which all processes have, spread as `current` is."""
    if not isinstance(current, DTensor) or isinstance(value, DTensor) or value.dim() == 0:
        return value.to(current.device) if value.dim() else value
    same = value.shape == current.shape
    placements = current.placements if same else [Replicate()] * current.device_mesh.ndim
    spread = distribute_tensor(value.detach(), current.device_mesh, placements, src_data_rank=None)
    return spread.to(current.device)


def whole(tensor: Tensor, device: torch.device) -> Tensor:
    """The whole of a tensor that is spread over processes, on the CPU. All call this."""
    if not isinstance(tensor, DTensor):
        return tensor
    gathered: Tensor = cast(DTensor, tensor.detach().to(device)).full_tensor()
    # Copied: a view of what it was gathered in would be saved with all of it.
    return gathered.to("cpu", copy=True)


# -- the way back -----------------------------------------------------------------------------------------------------------------


def make_whole(sharded: Sharded, device: torch.device) -> None:
    """Give the module whole parameters again, on the CPU, and take from it all that FSDP put there. All processes call this."""
    sharded.reshard()
    made: dict[int, nn.Parameter] = {}
    for owner in sharded.module.modules():
        for name, parameter in owner._parameters.items():
            if isinstance(parameter, DTensor):
                if id(parameter) not in made:
                    made[id(parameter)] = nn.Parameter(whole(parameter, device), parameter.requires_grad)
                owner._parameters[name] = made[id(parameter)]
    for owner in sharded.module.modules():
        _strip(owner)


def _strip(owner: nn.Module) -> None:
    """Undo `fully_shard` on a module, for which torch (2.13) has no function: its class, its hooks, its entries in registries."""
    forward = vars(owner).get("forward")
    if isinstance(forward, partial) and forward.func is checkpoint:
        del owner.forward
    if isinstance(owner, FSDPModule):
        kind = type(owner)
        owner.__class__ = kind.__mro__[kind._orig_cls_mro_index]
    for name, hooks in vars(owner).items():
        if name.endswith("_hooks"):
            for number, hook in list(hooks.items()):
                function = getattr(hook, "hook", hook)
                if getattr(function, "__module__", "").startswith(("torch.distributed.fsdp", __name__)):
                    del hooks[number]
                    for flags in (v for k, v in vars(owner).items() if k.startswith(name + "_")):
                        flags.pop(number, None)
    for key in (STATE_KEY, REGISTRY_KEY):
        vars(owner).pop(key, None)
    _module_state_mapping.pop(owner, None)


@contextmanager
def explained() -> Iterator[None]:
    """Within, torch's error about parameters that are used while they are in parts says what to do."""
    try:
        yield
    except RuntimeError as error:
        if "mixed torch.Tensor and DTensor" not in str(error):
            raise
        raise MisconfigurationException(
            "a parameter was used while only its part of this process was there: FSDP makes the parameters of a sharded submodule whole "
            "when the submodule itself is called, and not for its children or other methods. Call it, name another class in "
            "FSDPStrategy(auto_wrap_policy={...}), or use torch.distributed.fsdp.register_fsdp_forward_method in configure_model."
        ) from error
