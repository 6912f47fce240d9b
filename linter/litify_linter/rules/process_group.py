from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.rule import Example, Finding, Rule

CALLS = frozenset(
    {
        "torch.distributed.init_process_group",
        "torch.multiprocessing.spawn",
        "torch.multiprocessing.start_processes",
    }
)


class ProcessGroup(Rule):
    """Processes started, or a process group set up, by hand in a file that uses Lightning.

    Why: The Trainer starts the processes of `devices=` and `num_nodes=`, or joins those that torchrun or SLURM started,
    sets each one's device and makes the process group. Done by hand first, its set-up is wrong or waits forever.

    Ignore when: The file launches something else beside the Trainer, such as a data server. In Strategy and
    ClusterEnvironment classes it is never reported.
    """

    code, name = "LIT402", "process-group"
    message = "`{call}` sets up by hand what the Trainer sets up from `devices=` and `num_nodes=`"
    visits = (ast.Call,)
    examples = (
        Example(
            bad="""
            import torch.distributed as dist
            from litify import Trainer


            def main(rank, world_size, module):
                dist.init_process_group("nccl", rank=rank, world_size=world_size)
                Trainer(max_epochs=3).fit(module)
            """,
            good="""
            from litify import Trainer


            def main(module):
                Trainer(max_epochs=3, devices=2, strategy="ddp").fit(module)
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """A call of one of torch's functions for this."""
        if isinstance(node, ast.Call) and not here.in_strategy:
            name = here.resolve(node.func)
            if name in CALLS:
                yield self.found(node, here, call=name)
