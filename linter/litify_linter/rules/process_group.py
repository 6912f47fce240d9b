from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.reading.objects import values_of
from litify_linter.rule import Example, Finding, Rule

CALLS = frozenset(
    {
        "torch.distributed.init_process_group",
        "torch.multiprocessing.spawn",
        "torch.multiprocessing.start_processes",
    }
)


class ProcessGroup(Rule):
    """Processes started, or a process group set up, by hand in a Lightning class or a file that builds a Trainer.

    Why: The Trainer starts the processes of `devices=` and `num_nodes=`, or joins those that torchrun or SLURM started,
    sets each one's device and makes the process group. Done by hand first, its set-up is wrong or waits forever.

    Ignore when: The file launches something else beside the Trainer, such as a data server. Groups of one process, and
    those that Strategy and ClusterEnvironment classes make, are never reported.
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
        """A call of one of torch's functions for this, where a Trainer is near."""
        if isinstance(node, ast.Call) and not here.in_strategy:
            name = here.resolve(node.func)
            near = here.lightning is not None or here.file.builds_trainer
            if name in CALLS and near and not _is_alone(node, here):
                yield self.found(node, here, call=name)


def _is_alone(call: ast.Call, here: Place) -> bool:
    """Whether the group is of one process, made for code that asks for one."""
    sizes = [keyword.value for keyword in call.keywords if keyword.arg == "world_size"]
    for size in list(sizes):
        sizes += values_of(size.id, here) if isinstance(size, ast.Name) else []
    return any(isinstance(size, ast.Constant) and size.value == 1 for size in sizes)
