from __future__ import annotations

import ast
import re
from collections.abc import Iterable

from litify_linter.edits import replacement
from litify_linter.reading.file import Place
from litify_linter.reading.imports import dotted
from litify_linter.reading.lightning import CALLBACK, HOOKS, MODULE
from litify_linter.rule import Example, Finding, Rule

# A method that calls one of these only ever runs in several processes.
COLLECTIVES = frozenset(
    {"broadcast", "all_gather", "all_reduce", "gather_object", "barrier", "all_gather_object"}
)
# Variables that torchrun sets -> the Trainer's attributes, which are right under every launcher.
VARIABLES = {
    "RANK": "global_rank",
    "LOCAL_RANK": "local_rank",
    "NODE_RANK": "node_rank",
    "GROUP_RANK": "node_rank",
    "WORLD_SIZE": "world_size",
}
_TOGETHER = re.compile(r"(?:^|_)(?:ddp|dist(?:ributed)?|gather|reduce|broadcast|sync)(?:_|$)", re.IGNORECASE)
_SEVERAL = re.compile(r"ddp|dist|multi|num_devices|num_nodes|num_gpus|world_size", re.IGNORECASE)


class RankQuery(Rule):
    """`torch.distributed.get_rank()` or `get_world_size()` in a Lightning class, or `os.environ["LOCAL_RANK"]` and its kin.

    Why: They raise where there is no process group or launcher, which is every run on one device. `self.global_rank`
    and `self.trainer.world_size` are right everywhere.

    Ignore when: The code runs under a distributed strategy only. Beside a collective such as `dist.broadcast` or a test of
    `is_initialized()`, under a test that speaks of several processes, or where the error is caught, it is never reported.
    """

    code, name = "LIT404", "rank-query"
    message = "`{call}` raises on one device; use `{instead}`"
    fix = "safe"
    visits = (ast.Call, ast.Subscript)
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
        """One of the calls without a group, in a method that does not ask for the process group; in hooks a variable."""
        if isinstance(node, ast.Subscript):
            instead = _of_launcher(node, here)
            if instead is not None and not _is_expected(node, here):
                yield self.found(node, here, call=here.text(node), instead=instead)
            return
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
        functions = [
            n for n in ast.walk(here.method) if isinstance(n, ast.Attribute) and n.attr in COLLECTIVES
        ]
        if any((here.resolve(n) or "").startswith("torch.distributed.") for n in functions):
            return
        if _is_expected(node, here) or _is_for_several(here):
            return
        of_module = here.lightning.kind == MODULE and not here.is_static
        instead = (
            f"{here.self_name}.{instead}" if of_module else f"trainer.{instead.removeprefix('trainer.')}"
        )
        attached = of_module and here.hook in HOOKS - {"configure_model"}
        edits = replacement(node, here, instead) if attached else None
        yield self.found(node, here, edits, call=f"{name}()", instead=instead)


def _is_for_several(here: Place) -> bool:
    """Whether the method is there for several processes: it, or something it calls, is named for that."""
    calls = (
        [n.func for n in ast.walk(here.method) if isinstance(n, ast.Call)] if here.method is not None else []
    )
    names = {dotted(function) or "" for function in calls} - {
        f"{here.self_name}.all_gather"
    }  # works in one process
    words = [here.hook or "", *(name.rpartition(".")[2] for name in names)]
    return any(_TOGETHER.search(word) for word in words)


def _of_launcher(node: ast.Subscript, here: Place) -> str | None:
    """What the Trainer says in place of a variable that a hook reads, as `os.environ["NODE_RANK"]`."""
    if here.lightning is None or here.hook not in HOOKS or not isinstance(node.ctx, ast.Load):
        return None
    match node:
        case ast.Subscript(value=holder, slice=ast.Constant(value=str(name))) if name in VARIABLES:
            if here.resolve(holder) == "os.environ":
                owner = "trainer" if here.lightning.kind == CALLBACK else f"{here.self_name}.trainer"
                return f"{owner}.{VARIABLES[name]}"
    return None


def _is_expected(node: ast.AST, here: Place) -> bool:
    """Whether a test around the call says that there are several processes, or its error is caught."""
    child, parent = node, here.file.parents.get(node)
    while parent is not None and parent is not here.method:
        match parent:
            case ast.If(test=test, body=body) if child in body:
                if any(_SEVERAL.search(name) for name in _names(test)):
                    return True
            case ast.IfExp(test=test) if child is not test:
                if any(_SEVERAL.search(name) for name in _names(test)):
                    return True
            case ast.Try(body=body, handlers=handlers) if child in body:
                caught = {name for h in handlers for name in (_names(h.type) if h.type else ["Exception"])}
                if caught & {"Exception", "BaseException", "RuntimeError", "ValueError"}:
                    return True
        child, parent = parent, here.file.parents.get(parent)
    return False


def _names(node: ast.AST) -> list[str]:
    """The last words of all names in an expression."""
    named = (getattr(part, "attr", None) or getattr(part, "id", None) for part in ast.walk(node))
    return [name for name in named if name is not None]
