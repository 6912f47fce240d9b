from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.edits import Edits, replacement
from litify_linter.reading.file import Place
from litify_linter.reading.scopes import Function
from litify_linter.rule import Example, Finding, Rule


class UnreturnedScheduler(Rule):
    """A learning rate scheduler built in configure_optimizers and then forgotten.

    Why: Only schedulers that configure_optimizers returns are stepped. This one never is, and the learning rate stays
    what it was.

    Ignore when: Building the scheduler is itself the purpose, since it sets the initial learning rate of a warm-up.
    """

    code, name = "LIT207", "unreturned-scheduler"
    fix = "unsafe"
    severity = "error"
    message = "`{scheduler}` is built but not returned, so it never steps; return it beside the optimizer"
    visits = (ast.ClassDef,)
    examples = (
        Example(
            bad="""
            from litify import LightningModule
            from torch import optim


            class Lit(LightningModule):
                def configure_optimizers(self):
                    optimizer = optim.SGD(self.parameters(), lr=0.1)
                    scheduler = optim.lr_scheduler.StepLR(optimizer, 10)
                    return optimizer
            """,
            good="""
            from litify import LightningModule
            from torch import optim


            class Lit(LightningModule):
                def configure_optimizers(self):
                    optimizer = optim.SGD(self.parameters(), lr=0.1)
                    scheduler = optim.lr_scheduler.StepLR(optimizer, 10)
                    return {"optimizer": optimizer, "lr_scheduler": scheduler}
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """A local name bound to a scheduler that nothing in the method reads."""
        cls = here.file.lightning.get(node) if isinstance(node, ast.ClassDef) else None
        method = cls.methods.get("configure_optimizers") if cls is not None else None
        if method is None:
            return
        read = {n.id for n in ast.walk(method) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        for statement in ast.walk(method):
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as call) if name not in read:
                    if _is_scheduler(call, here):
                        yield self.found(call, here, _returned(name, method, here), scheduler=name)
                case ast.Expr(value=ast.Call() as call) if _is_scheduler(call, here):
                    yield self.found(call, here, scheduler=here.text(call.func))


def _returned(scheduler: str, method: Function, here: Place) -> Edits | None:
    """`return optimizer` -> `return [optimizer], [scheduler]`, where that is the only return and the last statement."""
    returns = [node for node in ast.walk(method) if isinstance(node, ast.Return)]
    match returns:
        case [ast.Return(value=ast.Name(id=name) as value)] if returns[0] is method.body[-1]:
            return replacement(value, here, f"[{name}], [{scheduler}]")
    return None


def _is_scheduler(call: ast.Call, here: Place) -> bool:
    return (here.resolve(call.func) or "").startswith("torch.optim.lr_scheduler.")
