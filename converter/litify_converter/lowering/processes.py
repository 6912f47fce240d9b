"""Scripts that start processes themselves, or are started by torchrun: the Trainer starts them instead.

What is left works on one process as on many: the rank and the number of processes are the Trainer's.
"""

from __future__ import annotations

import ast

from litify_converter.blocks import inner_blocks
from litify_converter.ir import TRAINER, Note, Scope
from litify_converter.lowering.base import Edit, Lowered, Lowering, removed
from litify_converter.lowering.process_expressions import (
    COLLECTIVE,
    DISTRIBUTED,
    GONE,
    OTHER_WAYS,
    Expressions,
)
from litify_converter.lowering.ranks import INIT, VARIABLES, Ranks, Spawn, find_spawn
from litify_converter.read import Script
from litify_converter.refusals import Distributed
from litify_converter.ways import Loop, Search
from litify_linter.reading.imports import dotted
from litify_linter.reading.roles import Role
from litify_linter.reading.scopes import Function, walk_scope

MEETING = ("MASTER_", "NCCL_", "GLOO_", "TORCH_DISTRIBUTED")
REASON = "the Trainer starts the processes (--devices)"


SHARDING = ("fsdp", "_composable", "tensor", "pipelining")


class Sharded(Lowering):
    """Networks whose parts live in several processes: what the Trainer would do with them can't be known to be the same."""

    name = "sharded"
    words = ("torch.distributed",)

    def find(self, script: Script) -> Lowered | None:
        for node in ast.walk(script.tree):
            name = script.imports.resolve(node.func) or "" if isinstance(node, ast.Call) else ""
            if name.startswith(tuple(f"{DISTRIBUTED}{part}" for part in SHARDING)) and Search(script).ways():
                what = name.rpartition(".")[2]
                raise Distributed(f"{what}() deals the network out to several processes", node)
        return None


class OneProcess(Lowering):
    """`mp.spawn`, `init_process_group`, DistributedDataParallel and DistributedSampler by hand."""

    name = "processes"
    words = ("init_process_group",)

    def find(self, script: Script) -> Lowered | None:
        if not _uses(script, INIT) or _other_way(script):
            return None
        spawn = find_spawn(script)
        optional = any(_is_call_of(script, n, "torch.multiprocessing") for n in ast.walk(script.tree))
        if spawn is None and optional:
            return None  # started in another way, or only if an option says so
        _refuse_own_ranks(script)
        ranks = Ranks(script, spawn)
        if not ranks.chain and not Search(script).ways():
            return None  # nothing trains here
        return _Rewriting(script, ranks, spawn).result()


def _uses(script: Script, name: str) -> bool:
    return any(
        isinstance(n, ast.Call) and script.imports.resolve(n.func) == name for n in ast.walk(script.tree)
    )


def _refuse_own_ranks(script: Script) -> None:
    """`os.environ["RANK"] = ...`: the processes come from a launcher of another kind."""
    for node in ast.walk(script.tree):
        match node:
            case ast.Subscript(value=value, slice=ast.Constant(value=str(key)), ctx=ast.Store()) if (
                key in VARIABLES and script.imports.resolve(value) == "os.environ"
            ):
                raise Distributed(f"the script works out {key} by itself", node)


def _is_call_of(script: Script, node: ast.AST, module: str) -> bool:
    return isinstance(node, ast.Call) and (script.imports.resolve(node.func) or "").startswith(f"{module}.")


def _other_way(script: Script) -> bool:
    """Whether the processes do something else than data parallelism."""
    return any(
        name.startswith(tuple(DISTRIBUTED + w for w in OTHER_WAYS)) for name in script.imports.names.values()
    )


class _Rewriting(Expressions):
    """Collects the edits of one script."""

    def __init__(self, script: Script, ranks: Ranks, spawn: Spawn | None) -> None:
        super().__init__(script, ranks)
        self.spawn = spawn
        self.gone: set[ast.stmt] = set()

    def result(self) -> Lowered:
        self._find_wrapped()
        for scope in self.ranks.scopes:
            self._find_gone(scope.body, scope)
        empty: set[Scope] = {
            f for f in self.ranks.scopes if isinstance(f, Function) and self._is_gone(f.body)
        }
        for scope in self.ranks.scopes:
            if scope not in empty:
                self._find_calls_of(scope.body, scope, empty)
        self.gone |= {f for f in empty if isinstance(f, Function)}
        self.lowered.edits += removed(self.text, self.script.tree.body, self.gone)
        for scope in self.ranks.scopes:
            if scope not in self.gone:
                self._remove_parameters(scope)
                for statement in scope.body:
                    self._rewrite(statement, scope, in_loop=False)
        if self.spawn is not None:
            self._call_worker(self.spawn)
        self.lowered.trainer["use_distributed_sampler"] = "False"  # the script deals out the data itself
        self.lowered.notes.append(Note("engineering", self._line(), REASON))
        return self.lowered

    def _line(self) -> int:
        if self.spawn is not None:
            return self.script.original_line(self.spawn.statement.lineno) or 1
        calls = [n for n in ast.walk(self.script.tree) if isinstance(n, ast.Call)]
        return next(n.lineno for n in calls if self._resolve(n) == INIT)

    # -- statements that go ----------------------------------------------------------------------------------------

    def _find_gone(self, body: list[ast.stmt], scope: Scope) -> None:
        for statement in body:
            if isinstance(statement, Function | ast.ClassDef):
                continue
            if self._goes(statement, scope):
                self.gone.add(statement)
                continue
            blocks = inner_blocks(statement)
            for block in blocks:
                self._find_gone(block, scope)
            if isinstance(statement, ast.If | ast.With | ast.For) and all(self._is_gone(b) for b in blocks):
                self.gone.add(statement)

    def _goes(self, statement: ast.stmt, scope: Scope) -> bool:
        match statement:
            case ast.Expr(value=ast.Call(func=func) as call):
                if self._resolve(call) in GONE:
                    return True
                if isinstance(func, ast.Attribute) and func.attr == "set_epoch":
                    return True
                return self._resolve(call) == "os.environ.setdefault" and self._is_meeting(call.args[:1])
            case ast.Assign(targets=[ast.Subscript(value=value, slice=key)]):
                return self._resolve(value) == "os.environ" and self._is_meeting([key])
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                if self.same.get((scope, name)) is not None and self._wrapped(value) is not None:
                    return True
                known = self.ranks.kind(ast.Name(name, ast.Load()), scope) is not None
                found = self.ranks.kind(value, scope) is not None
                return known and found and self._substitutes(name, scope)
        return False

    @staticmethod
    def _is_meeting(keys: list[ast.expr]) -> bool:
        return any(isinstance(k, ast.Constant) and str(k.value).startswith(MEETING) for k in keys)

    def _is_gone(self, block: list[ast.stmt]) -> bool:
        return all(s in self.gone or isinstance(s, ast.Pass) or _is_docstring(s) for s in block) and any(
            s in self.gone for s in block
        )

    def _find_calls_of(self, body: list[ast.stmt], scope: Scope, empty: set[Scope]) -> None:
        """Calls of functions of which nothing is left go too."""
        for statement in body:
            match statement:
                case ast.Expr(value=ast.Call() as call) if self.script.roles.callee(call, scope) in empty:
                    self.gone.add(statement)
            for block in inner_blocks(statement):
                if not isinstance(statement, Function | ast.ClassDef):
                    self._find_calls_of(block, scope, empty)

    # -- the worker ------------------------------------------------------------------------------------------------

    def _remove_parameters(self, scope: Scope) -> None:
        """Rank and number of processes are no parameters any more."""
        if not isinstance(scope, Function) or scope not in self.ranks.chain:
            return
        arguments = scope.args
        own = [*arguments.posonlyargs, *arguments.args]
        defaults = dict(
            zip([a.arg for a in own][-len(arguments.defaults) :], arguments.defaults, strict=False)
        )
        if (
            not any(self._is_parameter(scope, a.arg) for a in own)
            or arguments.kwonlyargs
            or arguments.posonlyargs
        ):
            return
        kept = [
            self.text.of(a) + (f"={self.text.of(defaults[a.arg])}" if a.arg in defaults else "")
            for a in own
            if not self._is_parameter(scope, a.arg)
        ]
        kept += [f"*{arguments.vararg.arg}"] if arguments.vararg else []
        kept += [f"**{arguments.kwarg.arg}"] if arguments.kwarg else []
        last = own[-1] if own[-1].arg not in defaults else defaults[own[-1].arg]
        self.lowered.edits.append(Edit(self.text.start(own[0]), self.text.end(last), ", ".join(kept)))

    def _call_worker(self, spawn: Spawn) -> None:
        names = [a.arg for a in spawn.worker.args.args][1:]
        given = [
            self.text.of(value)
            for name, value in zip(names, spawn.arguments, strict=False)
            if not self._is_parameter(spawn.worker, name)
        ]
        call = f"{spawn.worker.name}({', '.join(given)})"
        self.lowered.edits.append(self.text.replace(spawn.statement, call))
        if spawn.packed is not None:
            self.lowered.edits.append(self.text.remove(spawn.packed))
        self._drop_count(spawn)
        devices = self._devices(spawn, names)
        if devices is not None:
            self.lowered.trainer["devices"] = devices

    def _drop_count(self, spawn: Spawn) -> None:
        """`world_size = torch.cuda.device_count()`, where nothing else reads it."""
        count = spawn.count
        if not isinstance(count, ast.Name):
            return
        within = {id(n) for n in ast.walk(spawn.statement)}
        if spawn.scope is self.script.tree and self.ranks.is_read_elsewhere(count.id):
            return
        names = [n for n in walk_scope(spawn.scope.body) if isinstance(n, ast.Name) and n.id == count.id]
        reads = [n for n in names if isinstance(n.ctx, ast.Load) and id(n) not in within]
        makers = self.ranks.bindings(count.id, spawn.scope)
        if not reads and len(makers) == 1 and isinstance(makers[0], ast.Assign):
            self.lowered.edits.append(self.text.remove(makers[0]))

    def _devices(self, spawn: Spawn, names: list[str]) -> str | None:
        """The number of processes, in the worker's names: an option such as `args.world_size`."""
        match spawn.count:
            case ast.Constant(value=int(number)) if number > 0:
                return str(number)
            case ast.Attribute(value=ast.Name(id=owner), attr=attr):
                for name, value in zip(names, spawn.arguments, strict=False):
                    if isinstance(value, ast.Name) and value.id == owner:
                        return f"{name}.{attr}"
        return None

    # -- expressions -----------------------------------------------------------------------------------------------

    def _rewrite(self, statement: ast.stmt, scope: Scope, in_loop: bool) -> None:
        if statement in self.gone or isinstance(statement, Function | ast.ClassDef):
            return
        if self.spawn is not None and statement is self.spawn.statement:
            return
        guard = isinstance(statement, ast.If) and in_loop and self._is_first_rank(statement.test, scope)
        if guard and self._open_guard(statement, scope):  # type: ignore[arg-type]
            return
        match statement:
            case ast.Expr(value=ast.Call() as call) if self._resolve(call) in COLLECTIVE:
                self._guard_collective(statement)
                return
        inner = {id(s) for block in inner_blocks(statement) for s in block}
        for child in ast.iter_child_nodes(statement):
            if id(child) not in inner:
                self._expression(child, scope)
        chained = isinstance(scope, Function) and scope in self.ranks.chain
        inside = in_loop or isinstance(statement, Loop) or (chained and not self._is_worker(scope))
        for block in inner_blocks(statement):
            for one in block:
                self._rewrite(one, scope, inside)

    def _is_worker(self, scope: Scope) -> bool:
        return self.spawn is not None and scope is self.spawn.worker

    # -- models, samplers, guards ----------------------------------------------------------------------------------

    def _is_first_rank(self, test: ast.expr, scope: Scope) -> bool:
        return self._new_text(test, scope) == f"{TRAINER}.is_global_zero"

    def _open_guard(self, statement: ast.If, scope: Scope) -> bool:
        """`if rank == 0:` in the loop: all processes evaluate, the Trainer prints once; files are written by one."""
        if statement.orelse or statement.col_offset != statement.test.col_offset - 3:
            return False
        outer, inner = self.text.indent(statement), self.text.indent(statement.body[0])
        step = inner[len(outer) :]
        if not inner.startswith(outer) or not step or statement.body[0].lineno == statement.lineno:
            return False
        if any(_holds_lines(n) for n in ast.walk(statement)):
            return False
        kept = [s for s in statement.body if self._writes(s, scope)]
        if len(kept) == len(statement.body):
            return False
        first = self.text.first_line(statement.body[0])
        edits = [Edit((statement.lineno, 0), (first, 0), "")] if first > statement.lineno else []
        for at, one in enumerate(statement.body):
            head = (
                f"{outer}if {TRAINER}.is_global_zero:\n"
                if one in kept and _opens(statement.body, at, kept)
                else ""
            )
            last = one.end_lineno or one.lineno
            for line in range(one.lineno, last + 1):
                start = head if line == one.lineno else ""
                if one not in kept and self.text.lines[line - 1].startswith(inner):
                    edits.append(Edit((line, 0), (line, len(step)), start))
                elif start:
                    edits.append(Edit((line, 0), (line, 0), start))
        self.lowered.edits += edits
        for one in statement.body:
            self._rewrite(one, scope, True)
        return True

    def _writes(self, statement: ast.stmt, scope: Scope) -> bool:
        """Whether one process only should run it: anything but prints, evaluations and plain assignments."""
        for node in walk_scope(statement):
            if isinstance(node, ast.Call):
                name = self._resolve(node) or dotted(node.func) or ""
                if name.startswith(
                    ("torch.save", "os.", "shutil.", "open", "json.dump", "pickle.dump", "wandb")
                ):
                    return True
                if self.script.roles.of(node.func, scope) is Role.WRITER:
                    return True
                if name.rpartition(".")[2].startswith(("save", "add_", "write", "log", "dump", "makedirs")):
                    return True
        return not isinstance(statement, ast.Expr | ast.Assign | ast.AugAssign | ast.If | ast.For | ast.With)

    def _guard_collective(self, statement: ast.stmt) -> None:
        """Values are combined where there are several processes."""
        call = statement.value  # type: ignore[attr-defined]
        owner = self.text.of(call.func).rpartition(".")[0]
        test = f"{owner}.is_initialized()" if owner else "torch.distributed.is_initialized()"
        indent = self.text.indent(statement)
        body = "".join(self.text.lines[statement.lineno - 1 : statement.end_lineno]).rstrip("\n")
        shifted = "\n".join(f"    {line}" for line in body.split("\n"))
        end = (statement.end_lineno or 0, len(self.text.lines[(statement.end_lineno or 1) - 1].rstrip("\n")))
        self.lowered.edits.append(Edit((statement.lineno, 0), end, f"{indent}if {test}:\n{shifted}"))


def _opens(body: list[ast.stmt], at: int, kept: list[ast.stmt]) -> bool:
    return at == 0 or body[at - 1] not in kept


def _holds_lines(node: ast.AST) -> bool:
    """A string over several lines, which can't be shifted."""
    text = isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
    return text and node.lineno != node.end_lineno  # type: ignore[attr-defined]


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
