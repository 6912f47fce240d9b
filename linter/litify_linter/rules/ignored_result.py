from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from litify_linter.reading.file import Place
from litify_linter.reading.lightning import LightningClass
from litify_linter.reading.objects import values_of
from litify_linter.rule import Example, Finding, Rule

IGNORED = frozenset({"log", "progress_bar"})


class IgnoredResult(Rule):
    """`log` or `progress_bar` in the dictionary that a training_step returns.

    Why: Before Lightning 1.0 these entries were logged and shown. Today nobody reads them, and nothing says so: the
    curves are simply missing. litify's own Trainer still takes them, so that they are only reported for `lightning` and
    `pytorch_lightning`.

    Ignore when: The project pins `pytorch_lightning<1`, or a callback reads the entry from `outputs`. Classes that wrap
    their step, `self.training_step = logged(self.training_step)`, are never reported.
    """

    code, name = "LIT607", "ignored-result"
    message = '"{key}" in the result of training_step is ignored; use `self.log_dict(...)`'
    visits = (ast.Return,)
    hooks = frozenset({"training_step"})
    examples = (
        Example(
            bad="""
            import pytorch_lightning as pl


            class Lit(pl.LightningModule):
                def training_step(self, batch, batch_idx):
                    loss = self.loss(batch)
                    return {"loss": loss, "log": {"train_loss": loss}}
            """,
            good="""
            import pytorch_lightning as pl


            class Lit(pl.LightningModule):
                def training_step(self, batch, batch_idx):
                    loss = self.loss(batch)
                    self.log_dict({"train_loss": loss})
                    return {"loss": loss, "logits": self.logits(batch)}
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """A dictionary with one of the keys, returned as such or through a name."""
        if not isinstance(node, ast.Return) or here.module is None or here.module.package == "litify":
            return
        if here.scope is not here.method or _is_wrapped(here.module):
            return
        for value in _results(node.value, here):
            for key in _keys(value):
                if isinstance(key, ast.Constant) and key.value in IGNORED:
                    yield self.found(key, here, key=key.value)


def _is_wrapped(module: LightningClass) -> bool:
    """Whether something may read the result: a base in another file, or what the class puts in place of its step."""
    return module.has_unseen_base or any(name == "training_step" for name, _ in module.assigned)


def _results(value: ast.expr | None, here: Place) -> list[ast.expr]:
    match value:
        case ast.Name(id=name):
            return values_of(name, here)
        case None:
            return []
    return [value]


def _keys(value: ast.expr) -> Iterator[ast.expr]:
    """The keys of a dictionary display, `OrderedDict({...})` included."""
    match value:
        case ast.Dict(keys=keys):
            yield from (key for key in keys if key is not None)
        case ast.Call(func=ast.Name(id="OrderedDict" | "dict"), args=[ast.Dict() as inner]):
            yield from _keys(inner)
