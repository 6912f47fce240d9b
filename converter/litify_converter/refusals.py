"""Every reason to refuse a script: one class each, with its code, what it says, and what the user can do.

A refusal is final: nothing is written. `litify convert` prints it as `file:line: LC101 message` and exits with 1.
"""

from __future__ import annotations

import ast


class ConversionError(Exception):
    """Base of what convert raises.

        ConversionError
        +-- UnreadableScript   the file is not Python that can be read (exit code 2)
        +-- Refusal            the script is understood not well enough to convert it faithfully (exit code 1)
            +-- NothingToConvert, AlreadyConverted, SeveralLoops, LoopInClass, ... one per reason

    `line` is the line of the script the reason stands on, 1-based, or None where it concerns the whole file.
    `effort` is what it takes by hand: "none", "minutes", "hours" or "rewrite".
    """

    code = "LC000"
    advice = ""
    effort = "hours"

    def __init__(self, message: str, node: ast.AST | int | None = None) -> None:
        super().__init__(message)
        self.line: int | None = (
            node if node is None or isinstance(node, int) else getattr(node, "lineno", None)
        )
        self.cell: int | None = None  # of a notebook; `line` is then one of that cell


class UnreadableScript(ConversionError):
    """Not a file of Python 3 source."""

    code = "LC001"


class Refusal(ConversionError):
    """The script can't be converted faithfully; the message says why."""


class NothingToConvert(Refusal):
    """No loop in the script reaches both `.backward()` and an optimizer's `.step()`."""

    code = "LC101"
    effort = "none"
    advice = "nothing to do: litify converts scripts that train a model in a loop"


class AlreadyConverted(Refusal):
    """The script trains through a Trainer already."""

    code = "LC102"
    effort = "none"
    advice = "nothing to do: run it with `litify run`"


class SeveralLoops(Refusal):
    """A function that trains is called in several places."""

    code = "LC201"
    advice = "call it in one place only, or put each training phase in a script of its own"


class LoopInClass(Refusal):
    """The training loop is written in methods of a class."""

    code = "LC202"
    effort = "rewrite"
    advice = "move the loop of the class into functions, or make the class the LightningModule by hand"


class LoopShape(Refusal):
    """The loop's form (its iterable, or what it is nested in) is not one that convert understands."""

    code = "LC203"
    advice = "write the loop as `for epoch in range(...)` around `for batch in loader`"


class ControlFlow(Refusal):
    """A `break`, `continue` or `return` leaves the loop in a way a hook can't."""

    code = "LC204"
    effort = "minutes"
    advice = "leave the loop at its end, or by a condition at the top of its body"


class StepElsewhere(Refusal):
    """The optimizer step is in a function that convert can't follow (another file, a closure, a decorator)."""

    code = "LC205"
    advice = "bring the function that steps the optimizer into the script"


class SharedName(Refusal):
    """A name is changed both by the loop and by a function that stays outside of it."""

    code = "LC206"
    effort = "minutes"
    advice = "pass the value as an argument and return it, instead of sharing a global"


class Distributed(Refusal):
    """The script starts processes by itself."""

    code = "LC207"
    effort = "rewrite"
    advice = "call the training function once for one process; `litify run --devices N` starts the processes"


class NotIdiomatic(Refusal):
    """`style="idiomatic"`, and the step can't be proven to be what automatic optimization does."""

    code = "LC208"
    effort = "minutes"
    advice = "change the line, or take `--style auto`, which keeps its order under manual optimization"


class NotebookOnly(Refusal):
    """A line that only IPython runs, and whose effect on the program can't be told from the notebook."""

    code = "LC209"
    effort = "minutes"
    advice = "say it in Python, or take the line out"


class SelfCheckFailed(Refusal):
    """The result did not pass convert's own checks; this is a defect of litify."""

    code = "LC900"
    advice = "please report it with the script"
