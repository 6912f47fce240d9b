"""Which expressions of a distributed script are this process's rank, and which the number of processes."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from litify_converter.ir import Scope
from litify_converter.read import Script
from litify_converter.ways import Search
from litify_linter.reading.roles import Role
from litify_linter.reading.scopes import Function, function_locals, parameters, walk_scope

FIELDS = {"rank": "global_rank", "local": "local_rank", "size": "world_size"}
VARIABLES = {"RANK": "rank", "LOCAL_RANK": "local", "WORLD_SIZE": "size"}
CALLS = {
    "torch.distributed.get_rank": "rank",
    "torch.distributed.get_node_local_rank": "local",
    "torch.distributed.get_world_size": "size",
}
INIT = "torch.distributed.init_process_group"


@dataclass(frozen=True, eq=False)
class Spawn:
    """`mp.spawn(worker, args=(...), nprocs=n)`: a function that runs in processes of its own."""

    statement: ast.stmt
    scope: Scope
    worker: Function
    arguments: tuple[ast.expr, ...]  # behind the rank
    count: ast.expr | None
    packed: ast.stmt | None = None  # `args = (...)`, where the arguments have a name


class Ranks:
    """Names of a script that stand for the rank ("rank", "local") or for the number of processes ("size")."""

    def __init__(self, script: Script, spawn: Spawn | None) -> None:
        self.script = script
        self.spawn = spawn
        self.scopes: list[Scope] = [
            script.tree,
            *script.roles.functions.values(),
            *script.roles.owner,
        ]
        self.known: dict[tuple[Scope, str], str] = {}
        search = Search(script)
        self.chain = [f for f in self.scopes if isinstance(f, Function) and search.steps_below(f)]
        if spawn is not None:
            self._seed_worker(spawn)
        self._seed_init()
        self._flow()

    def kind(self, node: ast.expr | None, scope: Scope) -> str | None:
        """What an expression stands for: "rank", "local", "size", or None."""
        match node:
            case ast.Name(id=name):
                return self.known.get((self._home(name, scope), name))
            case ast.Call(func=ast.Name(id="int"), args=[inner]):
                return self.kind(inner, scope)
            case ast.Subscript(value=value, slice=ast.Constant(value=str(key))):
                return VARIABLES.get(key) if self._resolve(value) == "os.environ" else None
            case ast.Call(func=func, args=[ast.Constant(value=str(key)), *_]):
                asks = self._resolve(func) in ("os.environ.get", "os.getenv")
                return VARIABLES.get(key) if asks else None
            case ast.Call(func=func):
                return CALLS.get(self._resolve(func))
            case ast.Attribute(value=owner, attr="local_rank"):
                return "local" if self.script.roles.of(owner, scope) is Role.CONFIG else None
        return None

    def is_read_elsewhere(self, name: str) -> bool:
        """Whether a function that stays outside of the hooks reads a module's name."""
        for function in self.scopes:
            if isinstance(function, Function) and function not in self.chain:
                names = {n.id for n in ast.walk(function) if isinstance(n, ast.Name)}
                if name in names - function_locals(function):
                    return True
        return False

    def _resolve(self, node: ast.expr) -> str:
        name = self.script.imports.resolve(node) or ""
        return name.replace("torch.distributed.distributed_c10d.", "torch.distributed.")

    def _home(self, name: str, scope: Scope) -> Scope:
        if isinstance(scope, Function) and name not in function_locals(scope):
            outer = self.script.roles.outer.get(scope)
            return self._home(name, outer) if isinstance(outer, Function) else self.script.tree
        return scope

    def _seed_worker(self, spawn: Spawn) -> None:
        names = parameters(spawn.worker)
        if names:
            self.known[(spawn.worker, names[0])] = "rank"
        count = ast.unparse(spawn.count) if spawn.count is not None else None
        if isinstance(spawn.count, ast.Name):
            self.known[(self._home(spawn.count.id, spawn.scope), spawn.count.id)] = "size"
        for name, value in zip(names[1:], spawn.arguments, strict=False):
            if ast.unparse(value) == count:
                self.known[(spawn.worker, name)] = "size"

    def _seed_init(self) -> None:
        """The names that init_process_group gets as rank and world_size."""
        for scope in self.scopes:
            for node in walk_scope(scope.body):
                if isinstance(node, ast.Call) and self._resolve(node.func) == INIT:
                    for keyword in node.keywords:
                        kind = {"rank": "rank", "world_size": "size"}.get(keyword.arg or "")
                        if kind is not None and isinstance(keyword.value, ast.Name):
                            home = self._home(keyword.value.id, scope)
                            self.known.setdefault((home, keyword.value.id), kind)

    def _flow(self) -> None:
        while True:
            before = len(self.known)
            for scope in self.scopes:
                for node in walk_scope(scope.body):
                    if isinstance(node, ast.Assign):
                        self._assigned(node, scope)
                    elif isinstance(node, ast.Call):
                        self._called(node, scope)
            if len(self.known) == before:
                return

    def _assigned(self, node: ast.Assign, scope: Scope) -> None:
        kind = self.kind(node.value, scope)
        if kind is not None and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if self.bindings(name, scope) == [node]:
                self.known.setdefault((self._home(name, scope), name), kind)

    def bindings(self, name: str, scope: Scope) -> list[ast.AST]:
        """The statements of a scope that bind a name."""
        return [
            s
            for s in walk_scope(scope.body)
            if isinstance(s, ast.stmt)
            and not isinstance(s, Function | ast.ClassDef)
            and any(
                isinstance(n, ast.Name) and n.id == name and not isinstance(n.ctx, ast.Load)
                for child in ast.iter_child_nodes(s)
                if not isinstance(child, ast.stmt)
                for n in ast.walk(child)
            )
        ]

    def _called(self, call: ast.Call, scope: Scope) -> None:
        function = self.script.roles.callee(call, scope)
        if function is None:
            return
        for name, value in self.script.roles.arguments(call, function).items():
            here = self.known.get((function, name))
            there = self.kind(value, scope)
            if here is None and there is not None and self._always(function, name, there):
                self.known[(function, name)] = there
            elif here is not None and there is None and isinstance(value, ast.Name):
                home = self._home(value.id, scope)
                if isinstance(home, Function) and value.id in parameters(home):
                    self.known[(home, value.id)] = here

    def _always(self, function: Function, name: str, kind: str) -> bool:
        """Whether every call gives a parameter this kind, and the function does not change it."""
        if self.bindings(name, function):
            return False
        return all(
            self.kind(self.script.roles.arguments(n, function).get(name), scope) == kind
            for scope in self.scopes
            for n in walk_scope(scope.body)
            if isinstance(n, ast.Call) and self.script.roles.callee(n, scope) is function
        )


def find_spawn(script: Script) -> Spawn | None:
    """The one place where a script starts processes with torch.multiprocessing, or None."""
    found = []
    for scope in [script.tree, *script.roles.functions.values(), *script.roles.owner]:
        for node in walk_scope(scope.body):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                spawn = _spawn(script, node, node.value, scope)
                if spawn is not None:
                    found.append(spawn)
    if len(found) != 1:
        return None
    worker = found[0].worker
    uses = [n for n in ast.walk(script.tree) if isinstance(n, ast.Name) and n.id == worker.name]
    return found[0] if len(uses) == 1 else None  # also called directly: the script itself knows both ways


def _spawn(script: Script, statement: ast.stmt, call: ast.Call, scope: Scope) -> Spawn | None:
    if script.imports.resolve(call.func) not in (
        "torch.multiprocessing.spawn",
        "torch.multiprocessing.spawn.spawn",
    ):
        return None
    given = dict(zip(("fn", "args", "nprocs"), call.args, strict=False))
    given |= {k.arg: k.value for k in call.keywords if k.arg}
    arguments_given = given.get("args", ast.Tuple([], ast.Load()))
    packed = _packed(arguments_given, scope) if isinstance(arguments_given, ast.Name) else None
    match given.get("fn"), packed.value if packed is not None else arguments_given:
        case ast.Name(id=name), ast.Tuple(elts=arguments) if name in script.roles.functions:
            if not any(isinstance(a, ast.Starred) for a in arguments):
                worker = script.roles.functions[name]
                return Spawn(statement, scope, worker, tuple(arguments), given.get("nprocs"), packed)
    return None


def _packed(name: ast.Name, scope: Scope) -> ast.Assign | None:
    """The one statement that makes a tuple of arguments, where only the spawn reads it."""
    uses = [n for n in ast.walk(scope) if isinstance(n, ast.Name) and n.id == name.id]
    makers = [
        n
        for n in walk_scope(scope.body)
        if isinstance(n, ast.Assign) and len(n.targets) == 1 and n.targets[0] in uses
    ]
    return makers[0] if len(uses) == 2 and len(makers) == 1 else None
