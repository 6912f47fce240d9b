from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.reading.imports import dotted
from litify_linter.rule import Example, Finding, Rule

# Arguments that the Trainer's own sampler gets too.
OWN_ARGUMENTS = frozenset({"dataset", "num_replicas", "rank", "shuffle", "seed"})


class DistributedSamplerCall(Rule):
    """A DistributedSampler built by hand in a file that uses Lightning.

    Why: Under a distributed strategy the Trainer gives every loader a DistributedSampler, shuffled for training and in
    order for evaluation, and calls its set_epoch. One built by hand needs a process group that may not exist yet, and
    fails on one device.

    Ignore when: The Trainer is told `use_distributed_sampler=False`; a file that says so, or has samplers of another kind, is never
    reported.
    """

    code, name = "LIT403", "distributed-sampler"
    message = "`DistributedSampler` by hand: the Trainer adds one under a distributed strategy"
    visits = (ast.Call,)
    examples = (
        Example(
            bad="""
            from litify import LightningDataModule
            from torch.utils.data import DataLoader
            from torch.utils.data.distributed import DistributedSampler


            class Digits(LightningDataModule):
                def train_dataloader(self):
                    return DataLoader(self.digits, sampler=DistributedSampler(self.digits))
            """,
            good="""
            from litify import LightningDataModule
            from torch.utils.data import DataLoader


            class Digits(LightningDataModule):
                def train_dataloader(self):
                    return DataLoader(self.digits, shuffle=True)
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """A call of torch's DistributedSampler, unless the file switches the Trainer's own off."""
        if not isinstance(node, ast.Call) or here.in_strategy:
            return
        if here.file.keywords_used & {"use_distributed_sampler", "replace_sampler_ddp", "batch_sampler"}:
            return
        name = here.resolve(node.func) or ""
        if not name.startswith("torch.utils.data.") or not name.endswith(".DistributedSampler"):
            return
        if not {keyword.arg for keyword in node.keywords} <= OWN_ARGUMENTS:
            return
        if here.conditional(node) or not _is_for_a_loader(node, here):
            return  # who asks whether there are several processes may have a loop by hand beside the Trainer
        if not _is_given_away(node, here) and not any(_is_another(call, here) for call in _calls(here)):
            yield self.found(node, here)


def _is_given_away(node: ast.Call, here: Place) -> bool:
    """Whether it becomes an attribute of something else than `self`: no loader's sampler, which is the Trainer's to set."""
    match here.file.parents.get(node):
        case ast.Assign(targets=[ast.Attribute(value=owner)]):
            return not isinstance(owner, ast.Name) or owner.id != here.self_name
    return False


def _is_for_a_loader(node: ast.Call, here: Place) -> bool:
    """Whether it is seen to go to torch's DataLoader. Other loaders, as `wds.WebLoader(sampler=...)`, get none from the Trainer."""
    names = _names_of(node, here)
    for call in ast.walk(here.method or here.file.tree):
        if not isinstance(call, ast.Call):
            continue
        sampler = next((k.value for k in call.keywords if k.arg == "sampler"), None)
        given = sampler is not None and (ast.unparse(sampler) in names or node in ast.walk(sampler))
        if given and (here.resolve(call.func) or "").rpartition(".")[2] == "DataLoader":
            return True
    return False


def _names_of(node: ast.Call, here: Place) -> set[str]:
    """What the sampler is assigned to, also as one side of a condition."""
    parent = here.file.parents.get(node)
    while isinstance(parent, ast.IfExp):
        parent = here.file.parents.get(parent)
    return {ast.unparse(target) for target in parent.targets} if isinstance(parent, ast.Assign) else set()


def _calls(here: Place) -> Iterable[ast.Call]:
    return (call for call, _ in here.file.nodes.get(ast.Call, ()) if isinstance(call, ast.Call))


def _is_another(call: ast.Call, here: Place) -> bool:
    """A sampler that is none of torch's: whoever has one has to switch the Trainer's off."""
    name = here.resolve(call.func) or dotted(call.func) or ""
    return name.endswith("Sampler") and not name.startswith("torch.utils.data.")
