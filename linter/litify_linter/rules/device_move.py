from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.edits import Edits, removed, without_call
from litify_linter.reading.file import Place
from litify_linter.reading.lightning import HOOKS
from litify_linter.reading.objects import (
    drawn_by_hand,
    from_batch,
    is_fixed_device,
    is_module,
    is_stranger,
    leaves_device,
)
from litify_linter.rule import Edit, Example, Finding, Rule

# Hooks whose very purpose is to move things, or to bring back what was saved elsewhere.
MOVERS = frozenset(
    {
        "transfer_batch_to_device",
        "on_before_batch_transfer",
        "on_after_batch_transfer",
        "on_load_checkpoint",
        "on_save_checkpoint",
    }
)
_BATCH_MOVERS = ("transfer_batch_to_device", "on_before_batch_transfer", "on_after_batch_transfer")


class DeviceMove(Rule):
    """A tensor or module moved to a device by hand in a LightningModule: `.cuda()`, `.to(device)`.

    Why: The Trainer puts the module and every batch on the device that its flags name. A move written into the module
    ties it to one kind of hardware, and is a second copy at best.

    Ignore when: An object is kept off the Trainer's device on purpose, such as a frozen teacher on a second GPU. Batches
    that the code draws itself, from `dataloader_iter` or a loader of its own, are never reported: nobody moves those.
    """

    code, name = "LIT101", "device-move"
    fix = "safe"
    message = "`{call}` moves by hand what the Trainer puts on its device; remove it, or use `self.device` for new tensors"
    visits = (ast.Call,)
    hooks = (HOOKS - MOVERS) | {"__init__", "forward"}
    follow_calls = True
    examples = (
        Example(
            bad="""
            from litify import LightningModule


            class Lit(LightningModule):
                def training_step(self, batch, batch_idx):
                    x, y = batch
                    x, y = x.cuda(), y.to("cuda:0")
                    return self.loss(self.model(x), y)
            """,
            good="""
            import torch
            from litify import LightningModule


            class Lit(LightningModule):
                def training_step(self, batch, batch_idx):
                    x, y = batch
                    noise = torch.randn(len(x), 16, device=self.device)
                    return self.loss(self.model(x, noise), y)
            """,
        ),
        Example(
            bad="""
            import lightning as L


            class Lit(L.LightningModule):
                def validation_step(self, batch, batch_idx):
                    images = batch["image"].to(self.device)
                    self.log("score", self.score(images))
            """,
            good="""
            import lightning as L


            class Player:
                def to(self, side): ...

                def cuda(self): ...


            class Lit(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.player = Player()

                def validation_step(self, batch, batch_idx):
                    images = batch["image"].float()
                    weights = self.make_weights().to(images.device)
                    self.player.cuda()
                    self.log("score", self.score(images.to(weights.dtype), weights))
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """A call of `.cuda()`, or of `.to()` with a device chosen by hand or on the batch."""
        if here.callable_by_hand:
            return
        match node:
            case ast.Call(func=ast.Attribute(value=target, attr="cuda" | "to")) if drawn_by_hand(
                target, here
            ):
                return
            case ast.Call(func=ast.Attribute(value=target, attr="cuda")):
                if here.resolve(target) is None and not is_stranger(target, here):
                    yield self.found(node, here, _left_to_trainer(node, target, here), call=".cuda()")
            case ast.Call(func=ast.Attribute(value=target, attr="to"), args=args, keywords=keywords):
                device = args[0] if args else next((k.value for k in keywords if k.arg == "device"), None)
                if device is None or is_stranger(target, here):
                    return
                own = isinstance(device, ast.Attribute) and here.text(device) == f"{here.self_name}.device"
                if is_fixed_device(device, here) or (own and _is_moved_already(target, here)):
                    edits = _left_to_trainer(node, target, here)
                    yield self.found(node, here, edits, call=f".to({here.text(device)})")


def _is_moved_already(target: ast.expr, here: Place) -> bool:
    """Whether the Trainer has moved a tensor for sure: a part of the batch that nothing brought back to the host.

    Attributes of a batch are sure only if it has a `.to()`, which cannot be seen; how a class moves its batches can be
    another way, its own or that of a base in another file.
    """
    module = here.lightning
    if (
        module is None
        or module.has_unseen_base
        or any(module.find(hook) is not None for hook in _BATCH_MOVERS)
    ):
        return False
    return from_batch(target, here) and not leaves_device(target, here)


def _left_to_trainer(call: ast.Call, target: ast.expr, here: Place) -> Edits | None:
    """Without the move what the Trainer moves; `.to(self.device)` for other tensors of the steps."""
    words = {keyword.arg for keyword in call.keywords}
    if len(call.args) > 1 or not words <= {"device", "non_blocking"} or here.is_static:
        return None
    if here.hook == "__init__":
        return without_call(call, here) if is_module(target, here) else None
    if from_batch(target, here) or is_module(target, here):
        return _without_assignment(call, here) or without_call(call, here)
    assert isinstance(call.func, ast.Attribute)
    if here.file.span(target)[2] != here.file.span(call)[2]:
        return None
    _, _, end_line, end = here.file.span(call)
    _, _, _, name_end = here.file.span(call.func)
    start = name_end - len(call.func.attr)
    return Edits((Edit(end_line, start, end_line, end, f"to({here.self_name}.device)"),))


def _without_assignment(call: ast.Call, here: Place) -> Edits | None:
    """Takes `x = x.cuda()` and `x, y = x.cuda(), y.cuda()` away altogether."""
    statement = here.file.parents.get(call)
    if isinstance(statement, ast.Tuple):
        statement = here.file.parents.get(statement)
    match statement:
        case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
            pairs = list(zip(targets, values, strict=False))
        case ast.Assign(targets=[target], value=value):
            pairs = [(target, value)]
        case _:
            return None
    if all(isinstance(t, ast.Name) and _moved(v, here) == t.id for t, v in pairs):
        return removed(statement, here)
    return None


def _moved(value: ast.expr, here: Place) -> str | None:
    """The name that is moved, and nothing else happens to it."""
    match value:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="cuda"), args=[]):
            return name
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="to"), args=[device]):
            own = isinstance(device, ast.Attribute) and here.text(device) == f"{here.self_name}.device"
            return name if own or is_fixed_device(device, here) else None
    return None
