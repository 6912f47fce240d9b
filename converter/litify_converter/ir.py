"""What the stages hand on, and how it prints (what tests compare and bug reports quote)."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace

from litify_linter.reading.scopes import Function

Scope = ast.Module | ast.FunctionDef | ast.AsyncFunctionDef
TRAINER = "TRAINER__"  # stands for the Trainer in lowered scripts, until it is known where the code goes


@dataclass(frozen=True, eq=False)
class Variable:
    """A name in the scope that binds it. Two scopes' `loss` are two variables."""

    scope: Scope
    name: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Variable) and other.scope is self.scope and other.name == self.name

    def __hash__(self) -> int:
        return hash((id(self.scope), self.name))

    def __repr__(self) -> str:
        return f"{scope_name(self.scope)}:{self.name}"


@dataclass(frozen=True, eq=False)
class Call:
    """A call of a function of the script that the loop nest runs through: it is written out in the hooks."""

    statement: ast.stmt  # in the caller: `train(...)`, `loss = train(...)`
    call: ast.Call
    caller: Scope
    function: Function


# -- items: what a hook is made of -------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Moved:
    """A statement of the script, moved as it stands; its names are those of `scope`."""

    scope: Scope
    statement: ast.stmt


@dataclass(frozen=True, eq=False)
class New:
    """Statements written by an idiom, in the names of `scope`. `origin`: the statement they stand for."""

    scope: Scope
    text: str
    origin: ast.stmt | None = None


@dataclass(frozen=True, eq=False)
class Bind:
    """`target = value` across scopes: a parameter takes its argument, a name takes a function's result."""

    target_scope: Scope
    target: ast.expr
    value_scope: Scope
    value: ast.expr
    of_result: bool = False  # a result takes its name; else an argument its parameter


Item = Moved | New | Bind


# -- the loop nest -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class EpochLoop:
    """`for <target> in range(<first>, <end>)` around everything, or no epochs (one pass)."""

    statement: ast.For | None
    scope: Scope
    target: str | None = None  # name of the epoch in the script
    first: ast.expr | None = None  # None: 0
    end: ast.expr | None = None  # None: one epoch
    endless: bool = False  # `for epoch in itertools.count()`


@dataclass(frozen=True, eq=False)
class BatchLoop:
    """What training_step is called for: the batches of `source`, or once per epoch where there is no batch loop."""

    statement: ast.For | ast.While | None
    scope: Scope
    source: ast.expr | None = None  # the loader (enumerate and tqdm taken off), None: one step per epoch
    target: ast.expr | None = None
    index: str | None = None  # name of the batch index in the script
    index_start: ast.expr | None = None
    in_epoch: bool = False  # a while loop that every epoch enters anew


@dataclass(frozen=True, eq=False)
class Nest:
    """The loop nest, taken apart along the Trainer's hooks. `start`, `step` and `end` are in order of execution."""

    entry: Scope  # where the outermost loop stands: the module, or a function such as main()
    outer: ast.For | ast.While  # the outermost loop itself
    epochs: EpochLoop
    batches: BatchLoop
    start: tuple[Item, ...]  # from the start of an epoch to the first batch
    step: tuple[Item, ...]  # one batch
    end: tuple[Item, ...]  # from the last batch to the end of the epoch
    calls: tuple[Call, ...]  # functions written out, outermost first
    bars: frozenset[str] = frozenset()  # names of progress bars
    repeated: bool = False  # whether all of it runs more than once: for each fold, or by several calls
    further: int = 0  # how many loops of the script train after this one
    of_several: bool = False  # whether loops train before or after this one

    @property
    def mentioned(self) -> set[str]:
        """Names that stand in the loop, and in the functions that are written out."""
        parts = [self.outer, *(call.function for call in self.calls)]
        return {n.id for part in parts for n in ast.walk(part) if isinstance(n, ast.Name)}

    def __str__(self) -> str:
        lines = [f"entry {scope_name(self.entry)}, line {self.outer.lineno}"]
        epochs, source = self.epochs, self.batches.source
        count = "one"
        if epochs.end is not None:
            count = f"{ast.unparse(epochs.first) if epochs.first else 0} .. {ast.unparse(epochs.end)}"
        lines.append(f"epochs {epochs.target or '-'}: {count}")
        lines.append(
            f"batches of {ast.unparse(source) if source is not None else 'nothing (one step per epoch)'}"
        )
        for name in ("start", "step", "end"):
            lines.append(f"{name}:")
            lines += [f"  {line}" for item in getattr(self, name) for line in item_lines(item)]
        return "\n".join(lines)


def item_lines(item: Item) -> Iterator[str]:
    """An item as a line or more of text."""
    match item:
        case Moved(scope, statement):
            yield f"{scope_name(scope)}:{statement.lineno} {ast.unparse(statement).splitlines()[0]}"
        case New(scope, text):
            yield from (f"{scope_name(scope)}: + {line}" for line in text.splitlines())
        case Bind():
            target = f"{scope_name(item.target_scope)}:{ast.unparse(item.target)}"
            yield f"{target} = {scope_name(item.value_scope)}:{ast.unparse(item.value)}"


def scope_name(scope: Scope) -> str:
    """How messages and dumps name a scope."""
    return "module" if isinstance(scope, ast.Module) else scope.name


@dataclass(frozen=True, eq=False)
class Owner:
    """A class of the script whose method holds the loop: the LightningModule works on its instance."""

    node: ast.ClassDef
    name: str  # of the instance in the LightningModule: `solver` for class Solver
    self_name: Variable  # the method's own `self`
    optimizers: tuple[str, ...]  # attributes, in the order in which they are made
    modules: tuple[str, ...]  # attributes that hold networks and losses


# -- the plan ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Note:
    """One line of the report: what became of a piece of the source, and why."""

    kind: str  # research | engineering | data | non-essential | look (needs a look)
    line: int
    text: str


@dataclass(eq=False)
class Hook:
    """A method of the result: its parameters (without self), its items, the statements around them."""

    name: str
    items: list[Item]
    parameters: tuple[str, ...] = ()
    first: list[str] = field(default_factory=list)  # final text before the items
    last: list[str] = field(default_factory=list)  # final text after the items
    function: Function | None = None  # of the script, which is a method as it stands


@dataclass(eq=False)
class Plan:
    """What the result will be. Each idiom takes a plan and gives a better one; homes of names are found at the end."""

    nest: Nest
    class_name: str
    hooks: dict[str, Hook]  # of the LightningModule, by name
    automatic: bool = False  # automatic optimization
    owner: Owner | None = None  # the class whose method holds the loop
    optimizers: list[Variable] = field(default_factory=list)  # in the order of configure_optimizers
    schedulers: list[Variable] = field(default_factory=list)
    returned_schedulers: list[Variable] = field(default_factory=list)  # the Trainer steps them
    schedules_by_step: bool = False  # after each batch, rather than after each epoch
    eval_loops: list[BatchLoop] = field(default_factory=list)
    data_hooks: dict[str, Hook] = field(default_factory=dict)  # of the DataModule
    of_data: bool = False  # the plan of a DataModule
    data_name: str = ""  # the DataModule's instance in the entry
    data_class: str = ""
    moved_setup: set[ast.stmt] = field(default_factory=set)  # set-up statements that went into a hook
    starts: list[ast.stmt] = field(default_factory=list)  # of these, `best = 0`: the comments above them stay
    trainer: dict[str, tuple[Scope, ast.expr]] = field(default_factory=dict)  # Trainer argument -> expression
    trainer_text: dict[str, str] = field(default_factory=dict)  # Trainer argument -> final text
    val_source: tuple[Scope, ast.expr] | None = None  # the loader of validation_step
    absorbed: list[Function] = field(default_factory=list)  # functions that became hooks
    methods: dict[str, str] = field(
        default_factory=dict
    )  # functions that became methods -> the method's name
    imports: set[str] = field(default_factory=lambda: {"LightningModule", "Trainer"})
    guarded: set[ast.stmt] = field(default_factory=set)  # they write files: one process runs them
    left_in_eval: set[str] = field(default_factory=set)  # models, as the entry names them, after training
    support: list[str] = field(default_factory=list)  # classes that stand before the LightningModule
    dropped: dict[ast.stmt, str] = field(default_factory=dict)  # statement -> reason
    replaced: dict[ast.stmt, str] = field(
        default_factory=dict
    )  # statement inside a moved one -> text in its names
    expressions: dict[str, str] = field(
        default_factory=dict
    )  # expression -> what stands for it, at the epoch's end
    wrapped: set[ast.stmt] = field(default_factory=set)  # top-level statements that go into main()
    chosen: tuple[ast.stmt, str] | None = (
        None  # `device = ...` of the set-up -> what the Trainer chose instead
    )
    placed: bool = False  # hooks make their tensors on the Trainer's device, see `placement`
    instance_last: bool = False  # the LightningModule is made right before training, not where the model was
    idioms: list[str] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def copy(self) -> Plan:
        """A plan that can be changed without changing this one."""
        twin = copy.copy(self)
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, dict | list | set):
                setattr(twin, one.name, copy.copy(value))
        for hooks in (twin.hooks, twin.data_hooks):
            for name, hook in hooks.items():
                hooks[name] = replace(
                    hook, items=list(hook.items), first=list(hook.first), last=list(hook.last)
                )
        return twin
