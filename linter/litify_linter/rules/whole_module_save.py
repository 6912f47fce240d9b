from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.edits import Edits
from litify_linter.reading.file import Place
from litify_linter.reading.objects import is_module, is_parameter, values_of
from litify_linter.rule import Edit, Example, Finding, Rule


class WholeModuleSave(Rule):
    """`torch.save` of a whole module instead of its state_dict, in a file that uses Lightning.

    Why: The file then holds a pickle of the class: it loads only where the same source stands under the same name, and only
    with `weights_only=False`, which runs whatever the file says. Weights by name load anywhere.

    Ignore when: The file is read right back by the same version of the program.
    """

    code, name = "LIT703", "whole-module-save"
    message = "`torch.save({object})` pickles the class; save `{object}.state_dict()`"
    fix = "unsafe"
    visits = (ast.Call,)
    examples = (
        Example(
            bad="""
            import torch
            from litify import LightningModule, Trainer


            class Lit(LightningModule):
                pass


            def main():
                module = Lit()
                Trainer().fit(module)
                torch.save(module, "module.pt")
            """,
            good="""
            import torch
            from litify import LightningModule, Trainer


            class Lit(LightningModule):
                pass


            def main():
                module = Lit()
                trainer = Trainer()
                trainer.fit(module)
                trainer.save_checkpoint("module.ckpt")
                torch.save(module.state_dict(), "module.pt")
                torch.save({"epoch": 3}, "state.pt")
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """The first argument is the module itself, an attribute that is one, or a name bound to a new one."""
        match node:
            case ast.Call(func=function, args=[saved, *_]) if here.resolve(function) == "torch.save":
                if (here.module is not None and is_module(saved, here)) or _is_new_module(saved, here):
                    _, _, line, end = here.file.span(saved)
                    edits = Edits((Edit(line, end, line, end, ".state_dict()"),))
                    yield self.found(node, here, edits, object=here.text(saved))


def _is_new_module(node: ast.expr, here: Place) -> bool:
    if not isinstance(node, ast.Name) or is_parameter(node.id, here):
        return False
    values = values_of(node.id, here)
    return bool(values) and all(isinstance(value, ast.Call) and is_module(value, here) for value in values)
