from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.edits import replacement
from litify_linter.reading.file import Place
from litify_linter.reading.lightning import CALLBACK, HOOKS
from litify_linter.reading.objects import is_stranger
from litify_linter.rule import Example, Finding, Rule


class HardCodedDevice(Rule):
    """A device that is spelled out: `device="cuda"`, `torch.cuda.FloatTensor(...)`, `.cuda()` in a callback.

    Why: The module then trains on this kind of hardware only, and in the second process of a machine with several
    GPUs the tensor lands on the first one. `device=self.device` follows the Trainer.

    Ignore when: The module can only ever run on one device, such as one built around a CUDA kernel.
    """

    code, name = "LIT102", "hard-coded-device"
    fix = "safe"
    message = "`{text}` fixes the device; use `{instead}`"
    visits = (ast.Call,)
    examples = (
        Example(
            bad="""
            import torch
            from litify import LightningModule


            class Lit(LightningModule):
                def sample(self, n):
                    return self.generator(torch.randn(n, 64, device="cuda"))
            """,
            good="""
            import torch
            from litify import LightningModule


            class Lit(LightningModule):
                def sample(self, n):
                    return self.generator(torch.randn(n, 64, device=self.device))
            """,
        ),
        Example(
            bad="""
            from litify import Callback


            class Projection(Callback):
                def on_validation_start(self, trainer, pl_module):
                    self.net = self.net.cuda()
            """,
            good="""
            from litify import Callback


            class Projection(Callback):
                def on_validation_start(self, trainer, pl_module):
                    self.net = self.net.to(pl_module.device)
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """In a LightningModule a literal accelerator as `device=`, or a CUDA tensor type; in a callback `x.cuda()`."""
        if not isinstance(node, ast.Call):
            return
        if here.module is None:
            if _moves_in_callback(node, here):
                yield self.found(node, here, text=".cuda()", instead=".to(pl_module.device)")
            return
        if here.conditional(node) and not _runs_in_training(here):
            return  # a script asks for the hardware by hand, before there is a device
        name = here.resolve(node.func) or ""
        if name.startswith("torch.cuda.") and name.endswith("Tensor"):
            yield self.found(node, here, text=f"{name}()", instead="device=self.device")
        for keyword in node.keywords:
            match keyword:
                case ast.keyword(
                    arg="device", value=ast.Constant(value=str(text)) as value
                ) if text.startswith(("cuda", "mps")):
                    # In the constructor `self.device` is the CPU still.
                    follows = here.hook not in {None, "__init__"} and name.startswith("torch.")
                    follows = follows and not here.is_static
                    edits = replacement(value, here, f"{here.self_name}.device") if follows else None
                    yield self.found(node, here, edits, text=f'device="{text}"', instead="device=self.device")


def _runs_in_training(here: Place) -> bool:
    """Whether the Trainer comes to the method, as a hook or through one."""
    if here.module is None or here.hook is None:
        return True
    return here.hook in HOOKS | {"__init__", "forward"} or here.hook in here.module.reached_from


def _moves_in_callback(call: ast.Call, here: Place) -> bool:
    """A tensor or module that a hook of a callback moves to the current GPU."""
    if here.lightning is None or here.lightning.kind != CALLBACK or here.hook not in HOOKS:
        return False
    match call:
        case ast.Call(func=ast.Attribute(value=target, attr="cuda"), args=[]):
            return here.resolve(target) is None and not is_stranger(target, here)
    return False
