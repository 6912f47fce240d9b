"""Expressions of a distributed script in the Trainer's words: ranks, wrapped models, samplers, devices."""

from __future__ import annotations

import ast

from litify_converter.ir import TRAINER, Scope
from litify_converter.lowering.base import Lowered, Text
from litify_converter.lowering.ranks import FIELDS, INIT, Ranks
from litify_converter.read import Script
from litify_converter.refusals import Distributed
from litify_converter.ways import Loop
from litify_linter.reading.imports import dotted
from litify_linter.reading.roles import Role
from litify_linter.reading.scopes import walk_scope

DISTRIBUTED = "torch.distributed."
GONE = {
    INIT, DISTRIBUTED + "destroy_process_group", DISTRIBUTED + "barrier", "torch.cuda.set_device",
    "torch.accelerator.set_device_index", "torch.multiprocessing.set_start_method",
}  # fmt: skip
# No-ops in one process; among several they only combine values that are shown or logged.
COLLECTIVE = {DISTRIBUTED + "all_reduce", DISTRIBUTED + "reduce", DISTRIBUTED + "broadcast"}
ASKED = {
    DISTRIBUTED + name
    for name in (
        "get_rank", "get_world_size", "is_initialized", "is_available", "ReduceOp", "get_backend", "is_nccl_available",
        "is_gloo_available", "is_torchelastic_launched", "get_default_backend_for_device", "get_node_local_rank",
    )
}  # fmt: skip

OTHER_WAYS = (
    "rpc",
    "fsdp",
    "tensor",
    "pipelining",
    "_composable",
    "elastic",
    "checkpoint",
    "optim",
    "device_mesh",
)
WRAPPERS = {
    "torch.nn.parallel.DistributedDataParallel",
    "torch.nn.parallel.distributed.DistributedDataParallel",
}
SYNC_NORM = "torch.nn.SyncBatchNorm.convert_sync_batchnorm"
SAMPLERS = {"torch.utils.data.distributed.DistributedSampler", "torch.utils.data.DistributedSampler"}
GPU = '"cuda" if torch.cuda.is_available() else "cpu"'


class Expressions:
    """Rewrites the expressions of one script; what it finds goes into `lowered`."""

    def __init__(self, script: Script, ranks: Ranks) -> None:
        self.script = script
        self.ranks = ranks
        self.text = Text(script.text)
        self.lowered = Lowered()
        self.same: dict[tuple[Scope, str], str] = {}  # DistributedDataParallel's name -> the model's

    def _resolve(self, node: ast.AST) -> str:
        target = node.func if isinstance(node, ast.Call) else node
        name = self.script.imports.resolve(target) if isinstance(target, ast.expr) else None
        return (name or "").replace("torch.distributed.distributed_c10d.", DISTRIBUTED)

    def _is_parameter(self, function: Scope, name: str) -> bool:
        return function in self.ranks.chain and (function, name) in self.ranks.known

    def _expression(self, node: ast.AST, scope: Scope) -> None:
        text = self._new_text(node, scope)
        if text is not None:
            self.lowered.edits.append(self.text.replace(node, text))
            return
        if isinstance(node, ast.Call):
            self._check_known(node)
            self._drop_arguments(node, scope)
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, ast.stmt):
                self._expression(child, scope)

    def _new_text(self, node: ast.AST, scope: Scope) -> str | None:
        match node:
            case ast.Compare(left=left, ops=[op], comparators=[ast.Constant(value=0)]):
                if self.ranks.kind(left, scope) == "rank" and self._has_trainer(left, scope):
                    first = f"{TRAINER}.is_global_zero"
                    return {"Eq": first, "NotEq": f"not {first}", "Gt": f"not {first}"}.get(type(op).__name__)
            case ast.UnaryOp(op=ast.Not(), operand=inner):
                if self.ranks.kind(inner, scope) == "rank" and self._has_trainer(inner, scope):
                    return f"{TRAINER}.is_global_zero"
            case ast.Name(id=name, ctx=ast.Load()) if (home := self._same_name(name, scope)) is not None:
                return home
            case ast.Attribute(value=owner, attr="module") if self._is_wrapped(owner, scope):
                return self._inner(owner, scope)
            case ast.Call():
                return self._new_call(node, scope)
            case ast.JoinedStr(values=[ast.Constant(value="cuda:"), ast.FormattedValue(value=value)]):
                return f"({GPU})" if self.ranks.kind(value, scope) else None
            case ast.expr() if self._has_trainer(node, scope):
                kind = self.ranks.kind(node, scope)
                return f"{TRAINER}.{FIELDS[kind]}" if kind is not None else None
        return None

    def _new_call(self, call: ast.Call, scope: Scope) -> str | None:
        name = self._resolve(call)
        wrapped = self._wrapped(call)
        if wrapped is not None:
            return self._inner(wrapped, scope)
        if name in SAMPLERS:
            return self._sampler(call, scope)
        devices = [a for a in [*call.args, *(k.value for k in call.keywords)] if self.ranks.kind(a, scope)]
        if name == "torch.device" and devices:
            return f"torch.device({GPU})"
        match call.func:
            case ast.Attribute(value=value, attr="to") if len(call.args) == 1 and call.args[0] in devices:
                return f"{self._inner(value, scope)}.to({GPU})"
            case ast.Attribute(value=value, attr="cuda") if call.args and call.args[0] in devices:
                return f"{self._inner(value, scope)}.cuda()"
        if self.ranks.kind(call, scope) is not None:
            if self._has_trainer(call, scope):
                return f"{TRAINER}.{FIELDS[self.ranks.kind(call, scope) or 'rank']}"
            return self._tolerant(call)
        return None

    def _tolerant(self, call: ast.expr) -> str | None:
        """`get_rank()` in a function that stays outside of the hooks: right in one process too."""
        name = self._resolve(call)
        other = {"get_rank": "0", "get_world_size": "1"}.get(name.rpartition(".")[2])
        asks = f"{self.text.of(call.func).rpartition('.')[0]}." if isinstance(call, ast.Call) else ""
        if other is None or asks == ".":
            return None
        return f"({self.text.of(call)} if {asks}is_initialized() else {other})"

    def _inner(self, node: ast.expr, scope: Scope) -> str:
        """The text of an expression with what stands in it rewritten."""
        return self._new_text(node, scope) or self.text.of(node)

    def _has_trainer(self, node: ast.expr, scope: Scope) -> bool:
        """Whether an expression stands where the Trainer will be at hand."""
        if isinstance(node, ast.Name):
            return self._substitutes(node.id, scope)
        return scope is self.script.tree or scope in self.ranks.chain

    def _substitutes(self, name: str, scope: Scope) -> bool:
        """Whether a name goes, the Trainer's field standing for it wherever it was read."""
        if scope is self.script.tree:
            at_top = any(isinstance(s, Loop) for s in walk_scope(self.script.tree.body))
            return at_top and not self.ranks.is_read_elsewhere(name)
        return scope in self.ranks.chain

    def _check_known(self, call: ast.Call) -> None:
        name = self._resolve(call)
        if name.startswith(DISTRIBUTED) and name not in ASKED | COLLECTIVE | GONE:
            raise Distributed(f"the processes exchange data by {name.rpartition('.')[2]}()", call)

    def _drop_arguments(self, call: ast.Call, scope: Scope) -> None:
        """Arguments whose parameters went."""
        function = self.script.roles.callee(call, scope)
        if function is None or function.args.kwonlyargs or function.args.posonlyargs:
            return
        given = {id(v): n for n, v in self.script.roles.arguments(call, function).items()}
        every = [*call.args, *(k.value for k in call.keywords)]
        gone = [v for v in every if self._is_parameter(function, given.get(id(v), ""))]
        if not gone or not any((function, p) in self.ranks.known for p in given.values()):
            return
        kept = [self._inner(a, scope) for a in call.args if a not in gone]
        kept += [
            f"{k.arg}={self._inner(k.value, scope)}" if k.arg else f"**{self._inner(k.value, scope)}"
            for k in call.keywords
            if k.value not in gone
        ]
        self.lowered.edits.append(self.text.replace(call, f"{self.text.of(call.func)}({', '.join(kept)})"))

    def _wrapped(self, value: ast.expr) -> ast.expr | None:
        """The model inside `DistributedDataParallel(model, ...)`."""
        if isinstance(value, ast.Call) and value.args and self._resolve(value) in WRAPPERS | {SYNC_NORM}:
            if self._resolve(value) == SYNC_NORM:
                self.lowered.trainer["sync_batchnorm"] = "True"
            return value.args[0]
        return None

    def _find_wrapped(self) -> None:
        """`ddp_model = DDP(model)`: two names of one model, of which one goes."""
        for scope in self.ranks.scopes:
            for node in walk_scope(scope.body):
                match node:
                    case ast.Assign(targets=[ast.Name(id=name)], value=value):
                        inner = self._wrapped(value)
                        if isinstance(inner, ast.Name) and self._is_one(name, inner.id, scope):
                            self.same[(scope, name)] = inner.id

    def _is_one(self, name: str, inner: str, scope: Scope) -> bool:
        if name == inner:
            return True
        shared = scope is self.script.tree and self.ranks.is_read_elsewhere(name)
        return len(self.ranks.bindings(name, scope)) == 1 and not shared

    def _same_name(self, name: str, scope: Scope) -> str | None:
        other = self.same.get((scope, name))
        return other if other != name else None

    def _is_wrapped(self, owner: ast.expr, scope: Scope) -> bool:
        return self.script.roles.of(owner, scope) is Role.MODEL and "module" not in self._attributes()

    def _attributes(self) -> set[str]:
        return {
            n.attr
            for n in ast.walk(self.script.tree)
            if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)
        }

    def _sampler(self, call: ast.Call, scope: Scope) -> str:
        """The sampler asks the Trainer how many processes there are, and which one this is."""
        given = dict(
            zip(("dataset", "num_replicas", "rank", "shuffle", "seed", "drop_last"), call.args, strict=False)
        )
        given |= {k.arg: k.value for k in call.keywords if k.arg}
        first = self._first_epoch(call, given)
        texts = {k: self._inner(v, scope) for k, v in given.items() if k not in ("num_replicas", "rank")}
        if first is not None:
            texts["seed"] = f"{texts['seed']} + {first}" if "seed" in texts else first
        fields = [
            f"{name}={self._process(given.get(name), kind, scope)}"
            for name, kind in (("num_replicas", "size"), ("rank", "rank"))
        ]
        options = [f"{k}={v}" for k, v in texts.items() if k != "dataset"]
        return f"{self.text.of(call.func)}({', '.join([texts['dataset'], *fields, *options])})"

    def _process(self, value: ast.expr | None, kind: str, scope: Scope) -> str:
        """The rank, or the number of processes, as a sampler is told it."""
        if (
            isinstance(value, ast.Name)
            and self.ranks.kind(value, scope)
            and not self._has_trainer(value, scope)
        ):
            return value.id  # a parameter of a function that stays as it is
        return f"{TRAINER}.{FIELDS[kind]}"

    def _first_epoch(self, call: ast.Call, given: dict[str, ast.expr]) -> str | None:
        """The Trainer counts epochs from 0 for set_epoch(); a script that counts from 1 gets its order by the seed."""
        shuffle = given.get("shuffle")
        if isinstance(shuffle, ast.Constant) and not shuffle.value:
            return None
        for node in ast.walk(self.script.tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "set_epoch"
            ):
                return self._offset(node)
        raise Distributed(
            "set_epoch() is never called: each epoch has one order, the Trainer's a new one", call
        )

    def _offset(self, call: ast.Call) -> str | None:
        number = call.args[0] if call.args else None
        for node in ast.walk(self.script.tree):
            match node:
                case ast.For(
                    target=ast.Name(id=name), iter=ast.Call(func=ast.Name(id="range"), args=args)
                ) if (isinstance(number, ast.Name) and number.id == name):
                    match args:
                        case [_] | [ast.Constant(value=0), _]:
                            return None
                        case [ast.Constant(value=int(first)), _]:
                            return str(first)
        if isinstance(number, ast.Name) and self._is_given_epoch(number.id):
            return None
        raise Distributed("set_epoch() gets something else than the number of the epoch", call)

    def _is_given_epoch(self, name: str) -> bool:
        """A parameter of that name, given the epoch of a loop that starts at 0."""
        return (
            any(
                isinstance(n, ast.For)
                and isinstance(n.target, ast.Name)
                and "epoch" in n.target.id
                and isinstance(n.iter, ast.Call)
                and dotted(n.iter.func) == "range"
                and len(n.iter.args) == 1
                for n in ast.walk(self.script.tree)
            )
            and "epoch" in name
        )
