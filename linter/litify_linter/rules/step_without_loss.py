from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.edits import Edits, last_in_body
from litify_linter.reading.file import Place
from litify_linter.reading.lightning import MODULE, LightningClass
from litify_linter.reading.scopes import Function, walk_scope
from litify_linter.rule import Example, Finding, Rule


class StepWithoutLoss(Rule):
    """A training_step that returns nothing although the optimization is automatic.

    Why: The Trainer optimizes what training_step returns: the loss, or a dictionary with it under "loss". Where it
    returns nothing the batch is skipped, so that nothing is ever trained, without an error.

    Ignore when: A subclass in another file sets `automatic_optimization = False`.
    """

    code, name = "LIT802", "step-without-loss"
    fix = "unsafe"
    severity = "error"
    message = "`training_step` returns no loss, so nothing is trained; return it, or set `self.automatic_optimization = False`"
    visits = (ast.ClassDef,)
    examples = (
        Example(
            bad="""
            from litify import LightningModule


            class Lit(LightningModule):
                def training_step(self, batch, batch_idx):
                    loss = self.loss(batch)
                    self.log("train_loss", loss)
            """,
            good="""
            from abc import abstractmethod

            from litify import LightningModule


            class Base(LightningModule):
                @abstractmethod
                def training_step(self, batch, batch_idx):
                    \"\"\"Subclasses say what a step does.\"\"\"


            class Lit(Base):
                def training_step(self, batch, batch_idx):
                    if batch_idx == 3:
                        return None
                    return self.loss(batch)


            class Counter(LightningModule):
                def training_step(self, batch, batch_idx):
                    self.log("batches", batch_idx)

                def configure_optimizers(self):
                    return None
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """A training_step with a body but without a `return` that has a value."""
        cls = here.file.lightning.get(node) if isinstance(node, ast.ClassDef) else None
        if cls is None or cls.kind != MODULE or not cls.automatic:
            return
        step = cls.methods.get("training_step")
        if step is None or step.decorator_list or _is_stub(step.body) or _only_raises(step, cls):
            return
        optimizers = cls.methods.get("configure_optimizers")
        if optimizers is not None and not _gives_value(optimizers) and not _is_stub(optimizers.body):
            return  # a module without optimizers trains nothing on purpose
        if not _gives_value(step) and not _steps_itself(cls):
            yield self.found(step, here, _returned(step, here))


def _steps_itself(cls: LightningClass) -> bool:
    """Whether the step reaches `self.optimizers()` through another method: it trains by hand."""
    reached = (
        method for name, method in cls.methods.items() if "training_step" in cls.reached_from.get(name, ())
    )
    return any(
        isinstance(n, ast.Attribute) and n.attr == "optimizers" and isinstance(n.value, ast.Name)
        for method in reached
        for n in ast.walk(method)
    )


def _returned(step: Function, here: Place) -> Edits | None:
    """`return loss` at the end, where the body itself has assigned to `loss`."""
    for statement in step.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id="loss")]):
                has_return = any(isinstance(node, ast.Return) for node in walk_scope(step.body))
                return None if has_return else last_in_body(step.body, here, "return loss")
    return None


def _gives_value(function: Function) -> bool:
    return any(isinstance(n, ast.Return | ast.Yield) and _has_value(n) for n in walk_scope(function.body))


def _is_stub(body: list[ast.stmt]) -> bool:
    """Nothing but documentation, `pass`, `...`, or an exception at the end."""
    if isinstance(body[-1], ast.Raise):
        return True
    return all(
        isinstance(s, ast.Pass) or (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))
        for s in body
    )


def _only_raises(step: Function, cls: LightningClass) -> bool:
    """Whether all it does is to call a method that does nothing but raise."""
    match step.body[-1]:
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=name))):
            method = cls.find(name)
            return method is not None and isinstance(method.body[-1], ast.Raise)
    return False


def _has_value(node: ast.Return | ast.Yield) -> bool:
    return node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None)
