from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.reading.lightning import CALLBACK
from litify_linter.rule import Example, Finding, Rule

STRATEGY = "devices=..., strategy=..."
# What wraps -> the Trainer's arguments for it.
WRAPPERS = {
    "DataParallel": STRATEGY,
    "DistributedDataParallel": STRATEGY,
    "FullyShardedDataParallel": STRATEGY,
    "convert_sync_batchnorm": "sync_batchnorm=True",
}


class ParallelWrapper(Rule):
    """A module wrapped by hand in DataParallel, DistributedDataParallel or FSDP, or given synchronized batch norms.

    Why: `Trainer(strategy="ddp")` wraps the module itself, after it has moved it to the right device. A wrapper inside
    the wrapper reduces gradients twice, and puts a prefix "module." on every name in the checkpoint. `sync_batchnorm=True`
    converts batch norms where there are several processes, and only there.

    Ignore when: The wrapper is part of a strategy of your own. In configure_model, in Strategy classes and in callbacks
    (whose own networks the Trainer does not wrap) it is never reported.
    """

    code, name = "LIT401", "parallel-wrapper"
    message = "`{wrapper}` wraps by hand what the Trainer wraps; use `Trainer({instead})`"
    visits = (ast.Call,)
    examples = (
        Example(
            bad="""
            from litify import LightningModule
            from torch.nn.parallel import DistributedDataParallel as DDP


            class Lit(LightningModule):
                def __init__(self, net):
                    super().__init__()
                    self.net = DDP(net)
            """,
            good="""
            from litify import LightningModule, Trainer


            class Lit(LightningModule):
                def __init__(self, net):
                    super().__init__()
                    self.net = net


            trainer = Trainer(devices=2, strategy="ddp")
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """A call of one of torch's wrappers."""
        if isinstance(node, ast.Call) and not _is_place_for_it(here):
            name = here.resolve(node.func) or ""
            last = name.rpartition(".")[2]
            in_group = any(keyword.arg == "process_group" for keyword in node.keywords) or len(node.args) > 1
            if last == "convert_sync_batchnorm" and in_group:
                return  # the Trainer's is over all processes
            if name.startswith("torch.") and last in WRAPPERS:
                yield self.found(node, here, wrapper=last, instead=WRAPPERS[last])


def _is_place_for_it(here: Place) -> bool:
    in_callback = here.lightning is not None and here.lightning.kind == CALLBACK
    return here.hook == "configure_model" or here.in_strategy or in_callback
