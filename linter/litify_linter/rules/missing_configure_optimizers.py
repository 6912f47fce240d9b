from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.reading.lightning import MODULE, package_of
from litify_linter.rule import Example, Finding, Rule


class MissingConfigureOptimizers(Rule):
    """A LightningModule with a training_step but without configure_optimizers, of which the file makes an object.

    Why: fit has nothing to step: Lightning raises, or trains nothing.

    Ignore when: configure_optimizers is attached to the object at run time.
    """

    code, name = "LIT810", "missing-configure-optimizers"
    message = "`{cls}` has a training_step but no configure_optimizers, so there is nothing to step"
    severity = "error"
    visits = (ast.ClassDef,)
    examples = (
        Example(
            bad="""
            from litify import LightningModule, Trainer


            class Lit(LightningModule):
                def training_step(self, batch, batch_idx):
                    return self.loss(batch)


            Trainer().fit(Lit())
            """,
            good="""
            from litify import LightningModule, Trainer


            class Base(LightningModule):
                def training_step(self, batch, batch_idx):
                    return self.loss(batch)


            class Lit(Base):
                def configure_optimizers(self):
                    return self.make_optimizer()


            Trainer().fit(Lit())
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """All bases are known, none defines the hook, and the class is called somewhere in the file."""
        cls = here.file.lightning.get(node) if isinstance(node, ast.ClassDef) else None
        if cls is None or cls.kind != MODULE or not cls.automatic or "training_step" not in cls.methods:
            return
        local = {ancestor.name for ancestor in cls.lineage}
        for base in (base for ancestor in cls.lineage for base in ancestor.bases):
            if not (isinstance(base, ast.Name) and base.id in local) and not package_of(here.resolve(base)):
                return
        text = here.file.text
        defined = any(
            isinstance(n, ast.FunctionDef | ast.Assign) and _names(n) for a in cls.lineage for n in a.body
        )
        if defined or "LightningCLI" in text or ".configure_optimizers" in text or ".fit(" not in text:
            return
        calls = here.file.nodes.get(ast.Call, ())
        if any(
            isinstance(c, ast.Call) and isinstance(c.func, ast.Name) and c.func.id == cls.node.name
            for c, _ in calls
        ):
            yield self.found(cls.node, here, cls=cls.node.name)


def _names(node: ast.FunctionDef | ast.Assign) -> bool:
    names = [node.name] if isinstance(node, ast.FunctionDef) else [getattr(t, "id", "") for t in node.targets]
    return "configure_optimizers" in names
