from __future__ import annotations

import ast
import re
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.reading.imports import dotted
from litify_linter.reading.lightning import CALLBACK, LOOP_HOOKS, MODULE
from litify_linter.reading.objects import values_of
from litify_linter.rule import Example, Finding, Rule

# A file that nobody thought of running in several processes has other troubles than this one.
_SEVERAL_PROCESSES = re.compile(
    r"sync_dist|_rank\b|rank_zero|is_global_zero|all_gather|all_reduce|strategy\s*=|num_nodes|devices\s*=\s*(?!1\b)"
)


class SaveOnEveryRank(Rule):
    """`torch.save` in a hook, in every process, in a file that is made for several of them.

    Why: All processes write the same file at the same time, and what is left is a mixture, or the last one's. The Trainer's
    checkpoints are written once and whole; `self.trainer.save_checkpoint(path)` writes one on demand.

    Ignore when: The name of the file holds the rank in a way the rule does not see.
    """

    code, name = "LIT702", "save-on-every-rank"
    message = "`torch.save` in `{hook}` writes in every process; use `trainer.save_checkpoint`, or guard it by `is_global_zero`"
    visits = (ast.Call,)
    hooks = LOOP_HOOKS
    kinds = frozenset({MODULE, CALLBACK})
    examples = (
        Example(
            bad="""
            import torch
            from litify import LightningModule


            class Lit(LightningModule):
                def validation_step(self, batch, batch_idx):
                    self.log("val_loss", self.loss(batch), sync_dist=True)

                def on_train_epoch_end(self):
                    torch.save(self.net.state_dict(), "net.pt")
            """,
            good="""
            import torch
            from litify import LightningModule


            class Lit(LightningModule):
                def on_train_epoch_end(self):
                    if self.trainer.is_global_zero:
                        torch.save(self.net.state_dict(), "net.pt")

                def on_validation_epoch_end(self):
                    torch.save(self.scores, f"scores-{self.global_rank}.pt")
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """A call that no test of the rank guards, and whose file is not named for the rank."""
        if (
            not isinstance(node, ast.Call)
            or here.resolve(node.func) != "torch.save"
            or here.on_one_rank(node)
        ):
            return
        if _SEVERAL_PROCESSES.search(here.file.text) is None:
            return
        if not any(_names_rank(argument, here) for argument in node.args[1:]):
            yield self.found(node, here, hook=here.hook)


def _names_rank(node: ast.expr, here: Place, depth: int = 3) -> bool:
    """Whether an expression, or what its names were set to, has the rank in it."""
    for part in ast.walk(node):
        if "rank" in (dotted(part) or ""):
            return True
        if depth > 0 and any(_names_rank(value, here, depth - 1) for value in _set_to(part, here)):
            return True
    return False


def _set_to(node: ast.AST, here: Place) -> list[ast.expr]:
    """All that is assigned to a local name, or to an attribute of `self` anywhere in the class."""
    match node:
        case ast.Name(id=name):
            return values_of(name, here)
        case ast.Attribute(value=ast.Name(id=owner), attr=name) if (
            owner == here.self_name and here.lightning is not None
        ):
            return [value for attribute, value in here.lightning.assigned if attribute == name]
    return []
