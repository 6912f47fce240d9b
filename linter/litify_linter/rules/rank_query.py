from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.edits import replacement
from litify_linter.reading.file import Place
from litify_linter.reading.lightning import HOOKS, MODULE
from litify_linter.rule import Example, Finding, Rule


class RankQuery(Rule):
    """`torch.distributed.get_rank()` or `get_world_size()` in a Lightning class.

    Why: Both raise where there is no process group, which is every run on one device. `self.global_rank` and
    `self.trainer.world_size` are right everywhere.

    Ignore when: The code runs under a distributed strategy only. Beside a test of `is_initialized()` it is never reported.
    """

    code, name = "LIT404", "rank-query"
    message = "`{call}()` raises on one device; use `{instead}`"
    fix = "safe"
    visits = (ast.Call,)
    examples = (
        Example(
            bad="""
            import torch.distributed as dist
            from litify import LightningModule


            class Lit(LightningModule):
                def on_train_epoch_end(self):
                    if dist.get_rank() == 0:
                        self.save_samples()
            """,
            good="""
            import torch.distributed as dist
            from litify import LightningModule


            class Lit(LightningModule):
                def on_train_epoch_end(self):
                    if self.global_rank == 0:
                        self.save_samples()

                def world_size(self):
                    return dist.get_world_size() if dist.is_initialized() else 1
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """One of the calls without a group, in a method that does not ask for the process group."""
        match node:
            case ast.Call(func=function, args=[], keywords=[]) if (
                here.lightning is not None and not here.in_strategy
            ):
                name = here.resolve(function) or ""
            case _:
                return
        if not name.startswith("torch.distributed.") or here.method is None:
            return
        instead = {"get_rank": "global_rank", "get_world_size": "trainer.world_size"}.get(
            name.rpartition(".")[2]
        )
        asked = {n.attr for n in ast.walk(here.method) if isinstance(n, ast.Attribute)}
        if instead is None or asked & {"is_initialized", "is_available"}:
            return
        of_module = here.lightning.kind == MODULE and not here.is_static
        instead = (
            f"{here.self_name}.{instead}" if of_module else f"trainer.{instead.removeprefix('trainer.')}"
        )
        attached = of_module and here.hook in HOOKS - {"configure_model"}
        edits = replacement(node, here, instead) if attached else None
        yield self.found(node, here, edits, call=name, instead=instead)
