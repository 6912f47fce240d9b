from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.reading.objects import is_parameter
from litify_linter.rule import Example, Finding, Rule


class ForeignParameters(Rule):
    """An optimizer in configure_optimizers over the parameters of a global of the script.

    Why: The Trainer moves, saves and synchronizes what belongs to the module. A model of the script around it stays on the
    CPU, is not in the checkpoint, and under several processes each trains its own.

    Ignore when: The global is the very object that the module holds as an attribute. `self.parameters()` says so better.
    """

    code, name = "LIT208", "foreign-parameters"
    message = "The optimizer trains the global `{model}`, not what `self` holds; use `self.parameters()`"
    visits = (ast.Call,)
    hooks = frozenset({"configure_optimizers"})
    examples = (
        Example(
            bad="""
            from litify import LightningModule
            from torch import nn, optim

            net = nn.Linear(2, 1)


            class Lit(LightningModule):
                def configure_optimizers(self):
                    return optim.SGD(net.parameters(), lr=0.1)
            """,
            good="""
            from litify import LightningModule
            from torch import nn, optim

            net = nn.Linear(2, 1)


            class Lit(LightningModule):
                def __init__(self):
                    super().__init__()
                    self.net = net

                def configure_optimizers(self):
                    head = self.net
                    return optim.SGD(head.parameters(), lr=0.1)
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """An optimizer of torch whose first argument is `x.parameters()` of a name that the module of the file binds."""
        match node:
            case ast.Call(
                func=function,
                args=[ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="parameters")), *_],
            ) if (here.resolve(function) or "").startswith("torch.optim."):
                local = here.method is not None and name in here.file.assigned(here.method)
                if not local and not is_parameter(name, here) and name in here.file.assigned(here.file.tree):
                    yield self.found(node, here, model=name)
