from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.edits import Edits, after
from litify_linter.reading.file import Place
from litify_linter.reading.imports import dotted
from litify_linter.reading.lightning import MODULE, LightningClass, package_of
from litify_linter.reading.scopes import Function, parameters
from litify_linter.rule import Example, Finding, Rule


class UnsavedHyperparameters(Rule):
    """Numbers, strings and flags that a LightningModule's constructor takes and nobody saves as hyperparameters.

    Why: `load_from_checkpoint` calls the constructor with what was saved. Without `self.save_hyperparameters()` the values
    have to be remembered and given again; forgotten ones silently take their defaults. Loggers do not see them either.

    Ignore when: The module is never loaded from a checkpoint by its class.
    """

    code, name = "LIT808", "unsaved-hyperparameters"
    message = "{arguments}: not saved; call `self.save_hyperparameters()` in the constructor"
    fix = "unsafe"
    visits = (ast.ClassDef,)
    examples = (
        Example(
            bad="""
            from litify import LightningModule


            class Lit(LightningModule):
                def __init__(self, width: int, rate=0.1):
                    super().__init__()
                    self.width = width
                    self.rate = rate

                def training_step(self, batch, batch_idx):
                    return self.rate * self.loss(batch)

                def configure_optimizers(self):
                    return self.make_optimizer()
            """,
            good="""
            from litify import LightningModule


            class Lit(LightningModule):
                def __init__(self, width: int, rate=0.1):
                    super().__init__()
                    self.save_hyperparameters()

                def training_step(self, batch, batch_idx):
                    return self.hparams.rate * self.loss(batch)

                def configure_optimizers(self):
                    return self.make_optimizer()


            class Frozen(LightningModule):
                def __init__(self, backbone):
                    super().__init__()
                    self.backbone = backbone

                def training_step(self, batch, batch_idx):
                    return self.loss(self.backbone(batch))

                def configure_optimizers(self):
                    return self.make_optimizer()
            """,
        ),
        Example(
            bad="""
            from lightning import LightningModule


            class Lit(LightningModule):
                def __init__(self, net, *, rate: float):
                    # what it is
                    super(Lit, self).__init__()
                    self.net = net
                    self.rate = rate

                def training_step(self, batch, batch_idx):
                    return self.rate * self.net(batch)

                def configure_optimizers(self):
                    return self.make_optimizer()
            """,
            good="""
            from lightning import LightningModule


            class Base(LightningModule):
                def __init__(self, **options):
                    super().__init__()
                    self.save_hyperparameters(options)


            class Lit(Base):
                def __init__(self, rate=0.1):
                    super().__init__(rate=rate)
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """A constructor with such arguments in a class all of whose bases are known, where nothing touches hparams."""
        cls = here.file.lightning.get(node) if isinstance(node, ast.ClassDef) else None
        constructor = cls.methods.get("__init__") if cls is not None and cls.kind == MODULE else None
        if cls is None or constructor is None or not _is_known(cls, here) or _by_command_line(here):
            return
        if not _is_trained(cls) or any(_is_abstract(method) for method in cls.methods.values()):
            return  # no checkpoint is made of it: a base for others, which save what they are given
        if any(_saves(part) for ancestor in cls.lineage for part in ast.walk(ancestor)):
            return
        names = _plain_arguments(constructor)
        if names:
            arguments = ", ".join(f"`{name}`" for name in names[:3]) + (", ..." if len(names) > 3 else "")
            yield self.found(constructor, here, _saved(constructor, here), arguments=arguments)


def _is_known(cls: LightningClass, here: Place) -> bool:
    """Whether every base is a class of this file or Lightning's own: another may save what it is given."""
    local = {ancestor.name for ancestor in cls.lineage}
    bases = [base for ancestor in cls.lineage for base in ancestor.bases]
    return all(
        (isinstance(base, ast.Name) and base.id in local) or package_of(here.resolve(base)) for base in bases
    )


def _is_trained(cls: LightningClass) -> bool:
    """Whether a Trainer can train it: with Fabric, `configure_optimizers` takes arguments of one's own."""
    optimizers = cls.find("configure_optimizers")
    return (
        cls.find("training_step") is not None
        and optimizers is not None
        and len(optimizers.args.args) - len(optimizers.args.defaults) <= 1
    )


def _is_abstract(method: Function) -> bool:
    """Whether a subclass has to define the method: it is marked so, or raises."""
    if any((dotted(d) or "").endswith("abstractmethod") for d in method.decorator_list):
        return True
    last = method.body[-1]
    return isinstance(last, ast.Raise) and last.exc is not None and "NotImplemented" in ast.unparse(last.exc)


def _by_command_line(here: Place) -> bool:
    """LightningCLI saves what it parses."""
    return any(name.endswith("LightningCLI") for name in here.file.imports.names.values())


def _saves(node: ast.AST) -> bool:
    match node:
        case ast.Attribute(attr="save_hyperparameters" | "hparams" | "_hparams" | "_set_hparams"):
            return True
    return False


def _plain_arguments(constructor: Function) -> list[str]:
    """Parameters that are numbers, strings or flags by their annotation or their default."""
    args = constructor.args
    by_position = [*args.posonlyargs, *args.args][1:]
    defaults: list[ast.expr | None] = [None] * (len(by_position) - len(args.defaults)) + list(args.defaults)
    every = [*zip(by_position, defaults[-len(by_position) :] if by_position else [], strict=True)]
    every += zip(args.kwonlyargs, args.kw_defaults, strict=True)
    return [arg.arg for arg, default in every if _is_plain(arg.annotation, default)]


def _is_plain(annotation: ast.expr | None, default: ast.expr | None) -> bool:
    if annotation is not None:
        return isinstance(annotation, ast.Name) and annotation.id in {"int", "float", "str", "bool"}
    return isinstance(default, ast.Constant) and isinstance(default.value, int | float | str)


def _saved(constructor: Function, here: Place) -> Edits | None:
    """The call right after that of the inherited constructor."""
    for statement in constructor.body:
        match statement:
            case ast.Expr(value=ast.Call(func=ast.Attribute(attr="__init__"))):
                return after(statement, here, f"{parameters(constructor)[0]}.save_hyperparameters()")
    return None
