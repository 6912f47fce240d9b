from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.reading.objects import is_stranger
from litify_linter.rule import Example, Finding, Rule


class HostSync(Rule):
    """`.item()`, `.cpu()`, `.numpy()` or `.tolist()` in a training step whose optimization is automatic.

    Why: Each of them makes Python wait until the GPU has finished all it was given, so that the next batch's kernels
    are not queued in time. `self.log` takes the tensor and reads it later.

    Ignore when: The value decides what the step does next. Values read every n-th batch only, and values
    that are printed, are never reported.
    """

    code, name = "LIT602", "host-sync"
    message = "`{call}` in training_step waits for the GPU each batch; pass tensors to `self.log`, or use `.detach()`"
    visits = (ast.Call,)
    hooks = frozenset({"training_step"})
    examples = (
        Example(
            bad="""
            from litify import LightningModule


            class Lit(LightningModule):
                def training_step(self, batch, batch_idx):
                    loss = self.loss(batch)
                    self.log("train_loss", loss.item())
                    return loss
            """,
            good="""
            import torch
            from litify import LightningModule


            class Lit(LightningModule):
                def training_step(self, batch, batch_idx):
                    loss = self.loss(batch) * torch.rand(1).item()
                    self.log("train_loss", loss)
                    self.print(f"loss {loss.item()}")
                    if batch_idx % 100 == 0:
                        self.history.append(loss.item())
                    return loss
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """One of these calls on something that may live on the device, not guarded by a count of batches."""
        if not here.automatic:
            return
        match node:
            case ast.Call(
                func=ast.Attribute(value=target, attr="item" | "cpu" | "numpy" | "tolist" as method), args=[]
            ):
                call = f".{method}()"
            case ast.Call(func=ast.Attribute(value=target, attr="to"), args=[ast.Constant(value="cpu")]):
                call = '.to("cpu")'
            case _:
                return
        if (
            _on_host(target, here)
            or _is_printed(node, here)
            or here.guarded(node, {"batch_idx", "global_step", "step", "log_every_n_steps"})
        ):
            return
        yield self.found(node, here, call=call)


def _is_printed(node: ast.AST, here: Place) -> bool:
    """Whether the value goes into a print, which cannot do without it."""
    for call in ast.walk(here.method) if here.method is not None else ():
        match call:
            case ast.Call(func=ast.Name(id="print") | ast.Attribute(attr="print")):
                if any(part is node for part in ast.walk(call)):
                    return True
    return False


def _on_host(node: ast.expr, here: Place) -> bool:
    """Whether an object is known to be in the computer's own memory: after another such call, or made there."""
    match node:
        case ast.Call(func=ast.Attribute(attr="cpu" | "numpy" | "tolist" | "item")):
            return True
        case ast.Call(func=function, keywords=keywords) if (here.resolve(function) or "").startswith(
            ("torch.", "numpy.")
        ):
            made = {
                "rand",
                "randn",
                "randint",
                "randperm",
                "tensor",
                "zeros",
                "ones",
                "arange",
                "multinomial",
            }
            known = function.attr in made if isinstance(function, ast.Attribute) else False
            from_numpy = (here.resolve(function) or "").startswith("numpy.")
            return from_numpy or (known and not any(k.arg == "device" for k in keywords))
        case ast.Attribute(value=inner) | ast.Subscript(value=inner):
            return _on_host(inner, here)
    return is_stranger(node, here)
