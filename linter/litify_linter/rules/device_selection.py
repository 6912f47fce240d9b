from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.reading.imports import dotted
from litify_linter.rule import Example, Finding, Rule

SETTERS = frozenset({"torch.cuda.set_device", "torch.accelerator.set_device_index", "torch.xpu.set_device"})


class DeviceSelection(Rule):
    """A device chosen by hand in a file that uses Lightning: `torch.cuda.set_device`, `CUDA_VISIBLE_DEVICES` set in the script.

    Why: The Trainer gives each process its device. Chosen in the script, it takes an edit to run anywhere else, and after the
    first use of CUDA the environment variable has no effect at all.

    Ignore when: The script sets up other processes than those of the Trainer. Strategies of one's own are never reported.
    """

    code, name = "LIT105", "device-selection"
    message = "`{what}` chooses devices in the code; use `Trainer(devices=[...])`, or set it where the script is started"
    visits = (ast.Call, ast.Assign)
    examples = (
        Example(
            bad="""
            import os

            from litify import Trainer

            os.environ["CUDA_VISIBLE_DEVICES"] = "1"
            trainer = Trainer(max_epochs=3)
            """,
            good="""
            import os

            from litify import Trainer

            os.environ["TOKENIZERS_PARALLELISM"] = "false"
            trainer = Trainer(max_epochs=3, devices=[1])
            print(os.environ["CUDA_VISIBLE_DEVICES"])
            """,
        ),
        Example(
            bad="""
            import torch
            from lightning import LightningModule


            class Lit(LightningModule):
                def on_fit_start(self):
                    torch.cuda.set_device(self.local_rank)
            """,
            good="""
            from lightning import LightningModule


            class Lit(LightningModule):
                def on_fit_start(self):
                    self.print(self.device)
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """A call of set_device, or an assignment to the environment variable."""
        if here.in_strategy:
            return
        match node:
            case ast.Call(func=function, args=args) if (name := here.resolve(function)) in SETTERS:
                if not (here.hook == "__init__" and args and _is_trainers_own(args[0])):
                    yield self.found(node, here, what=name)
            case ast.Assign(
                targets=[
                    ast.Subscript(value=holder, slice=ast.Constant(value="CUDA_VISIBLE_DEVICES" as name))
                ],
                value=value,
            ) if here.resolve(holder) == "os.environ" and "environ" not in ast.unparse(value):
                yield self.found(node, here, what=name)


def _is_trainers_own(device: ast.expr) -> bool:
    """`trainer.local_rank`: before the Trainer has set its device, what is built there goes to it."""
    return isinstance(device, ast.Attribute) and (dotted(device) or "").endswith("trainer.local_rank")
