from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.reading.lightning import HOOKS
from litify_linter.reading.objects import from_batch, is_fixed_device, is_stranger
from litify_linter.rule import Example, Finding, Rule

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


class DeviceMove(Rule):
    """A tensor or module moved to a device by hand in a LightningModule: `.cuda()`, `.to(device)`.

    Why: The Trainer puts the module and every batch on the device that its flags name. A move written into the module
    ties it to one kind of hardware, and is a second copy at best.

    Ignore when: An object is kept off the Trainer's device on purpose, such as a frozen teacher on a second GPU.
    """

    code, name = "LIT101", "device-move"
    message = "`{call}` moves by hand what the Trainer puts on its device; remove it, or use `self.device` for new tensors"
    visits = (ast.Call,)
    hooks = (HOOKS - MOVERS) | {"__init__", "forward"}
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
        match node:
            case ast.Call(func=ast.Attribute(value=target, attr="cuda")):
                if here.resolve(target) is None and not is_stranger(target, here):
                    yield self.found(node, here, call=".cuda()")
            case ast.Call(func=ast.Attribute(value=target, attr="to"), args=args, keywords=keywords):
                device = args[0] if args else next((k.value for k in keywords if k.arg == "device"), None)
                if device is None or is_stranger(target, here):
                    return
                own = isinstance(device, ast.Attribute) and ast.unparse(device) == f"{here.self_name}.device"
                if is_fixed_device(device, here) or (own and from_batch(target, here)):
                    yield self.found(node, here, call=f".to({ast.unparse(device)})")
