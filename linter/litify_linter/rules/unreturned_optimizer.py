from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.edits import last_in_body
from litify_linter.reading.file import Place
from litify_linter.reading.scopes import walk_scope
from litify_linter.rule import Example, Finding, Rule


class UnreturnedOptimizer(Rule):
    """An optimizer built in configure_optimizers, which then returns nothing.

    Why: The Trainer steps what configure_optimizers returns. Without a return the module is never trained; there is only a
    warning.

    Ignore when: Never: a module that trains nothing needs no optimizer.
    """

    code, name = "LIT211", "unreturned-optimizer"
    message = "`configure_optimizers` returns nothing, so `{optimizer}` never steps; return it"
    fix = "unsafe"
    severity = "error"
    visits = (ast.ClassDef,)
    examples = (
        Example(
            bad="""
            from litify import LightningModule
            from torch import optim


            class Lit(LightningModule):
                def configure_optimizers(self):
                    optimizer = optim.SGD(self.parameters(), lr=0.1)
            """,
            good="""
            from litify import LightningModule
            from torch import optim


            class Lit(LightningModule):
                def configure_optimizers(self):
                    optimizer = optim.SGD(self.parameters(), lr=0.1)
                    return optimizer
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """A local name bound to an optimizer of torch in a configure_optimizers without return."""
        cls = here.file.lightning.get(node) if isinstance(node, ast.ClassDef) else None
        method = cls.methods.get("configure_optimizers") if cls is not None else None
        if method is None:
            return
        if any(isinstance(part, ast.Return | ast.Yield | ast.Raise) for part in walk_scope(method.body)):
            return
        for statement in method.body:
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=function)) if _is_optimizer(
                    here.resolve(function)
                ):
                    edits = last_in_body(method.body, here, f"return {name}")
                    yield self.found(method, here, edits, optimizer=name)
                    return


def _is_optimizer(name: str | None) -> bool:
    return name is not None and name.startswith("torch.optim.") and ".lr_scheduler" not in name
