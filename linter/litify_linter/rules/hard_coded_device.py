from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.edits import replacement
from litify_linter.reading.file import Place
from litify_linter.rule import Example, Finding, Rule


class HardCodedDevice(Rule):
    """A tensor created on a device that is spelled out: `device="cuda"`, `torch.cuda.FloatTensor(...)`.

    Why: The module then trains on this kind of hardware only, and in the second process of a machine with several
    GPUs the tensor lands on the first one. `device=self.device` follows the Trainer.

    Ignore when: The module can only ever run on one device, such as one built around a CUDA kernel.
    """

    code, name = "LIT102", "hard-coded-device"
    fix = "safe"
    message = "`{text}` fixes the device; create tensors with `device=self.device`"
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
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """A call with a literal accelerator as `device=`, or of one of the CUDA tensor types, in a LightningModule."""
        if here.module is None or not isinstance(node, ast.Call):
            return
        name = here.resolve(node.func) or ""
        if name.startswith("torch.cuda.") and name.endswith("Tensor"):
            yield self.found(node, here, text=f"{name}()")
        for keyword in node.keywords:
            match keyword:
                case ast.keyword(
                    arg="device", value=ast.Constant(value=str(text)) as value
                ) if text.startswith(("cuda", "mps")):
                    # In the constructor `self.device` is the CPU still.
                    follows = here.hook not in {None, "__init__"} and name.startswith("torch.")
                    follows = follows and not here.is_static
                    edits = replacement(value, here, f"{here.self_name}.device") if follows else None
                    yield self.found(node, here, edits, text=f'device="{text}"')
