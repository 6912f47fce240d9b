from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.reading.lightning import STEPS
from litify_linter.rule import Example, Finding, Rule


class TransformInStep(Rule):
    """A torchvision transform built in a step.

    Why: It is built again for each batch, and runs in the training process while the GPU waits. In the data set it runs in the
    loader's workers; as an attribute of the module it is at least built once.

    Ignore when: Its arguments change with every batch.
    """

    code, name = "LIT506", "transform-in-step"
    message = "`{transform}` is built in `{hook}` for each batch; build it once, best in the data set"
    visits = (ast.Call,)
    hooks = STEPS
    examples = (
        Example(
            bad="""
            from litify import LightningModule
            from torchvision import transforms


            class Lit(LightningModule):
                def training_step(self, batch, batch_idx):
                    x, y = batch
                    x = transforms.Normalize((0.5,), (0.5,))(x)
                    return self.loss(x, y)
            """,
            good="""
            from litify import LightningDataModule, LightningModule
            from torchvision import transforms


            class Digits(LightningDataModule):
                def setup(self, stage):
                    self.digits = self.load(transforms.Normalize((0.5,), (0.5,)))


            class Lit(LightningModule):
                def training_step(self, batch, batch_idx):
                    x, y = batch
                    return self.loss(transforms.functional.hflip(x), y)
            """,
        ),
    )

    @classmethod
    def wants(cls, text: str) -> bool:
        """Files that contain the word."""
        return "transforms" in text

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """A call of a class of torchvision.transforms; its functions are cheap to call."""
        if isinstance(node, ast.Call):
            name = here.resolve(node.func) or ""
            last = name.rpartition(".")[2]
            if name.startswith("torchvision.transforms.") and last[:1].isupper():
                if here.guarded(node, {"batch_idx", "global_step"}):
                    return  # every n-th batch, for a picture
                yield self.found(node, here, transform=last, hook=here.hook)
