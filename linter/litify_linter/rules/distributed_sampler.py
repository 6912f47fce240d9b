from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.reading.imports import dotted
from litify_linter.rule import Example, Finding, Rule

# Libraries whose loaders are no torch.utils.data.DataLoader.
OTHER_LOADERS = frozenset({"webdataset", "torchdata", "nvidia", "ffcv"})


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
        if here.file.keywords_used & {"use_distributed_sampler", "replace_sampler_ddp"}:
            return
        name = here.resolve(node.func) or ""
        if not name.startswith("torch.utils.data.") or not name.endswith(".DistributedSampler"):
            return
        if _is_for_another_loader(node, here):
            return
        if not _is_given_away(node, here) and not any(_is_another(call, here) for call in _calls(here)):
            yield self.found(node, here)


def _is_given_away(node: ast.Call, here: Place) -> bool:
    """Whether it becomes an attribute of something else than `self`: no loader's sampler, which is the Trainer's to set."""
    match here.file.parents.get(node):
        case ast.Assign(targets=[ast.Attribute(value=owner)]):
            return not isinstance(owner, ast.Name) or owner.id != here.self_name
    return False


def _is_for_another_loader(node: ast.Call, here: Place) -> bool:
    """Whether it goes to a loader from outside of torch, which the Trainer gives no sampler: `wds.WebLoader(sampler=...)`."""
    parent = here.file.parents.get(node)
    names = {ast.unparse(t) for t in parent.targets} if isinstance(parent, ast.Assign) else set()
    loaders = [
        here.resolve(call.func)
        for call in ast.walk(here.method or here.file.tree)
        if isinstance(call, ast.Call)
        for keyword in call.keywords
        if keyword.arg == "sampler" and (keyword.value is node or ast.unparse(keyword.value) in names)
    ]
    return bool(loaders) and all(name is not None and name.split(".")[0] in OTHER_LOADERS for name in loaders)


def _calls(here: Place) -> Iterable[ast.Call]:
    return (call for call, _ in here.file.nodes.get(ast.Call, ()) if isinstance(call, ast.Call))


def _is_another(call: ast.Call, here: Place) -> bool:
    """A sampler that is none of torch's: whoever has one has to switch the Trainer's off."""
    name = here.resolve(call.func) or dotted(call.func) or ""
    return name.endswith("Sampler") and not name.startswith("torch.utils.data.")
