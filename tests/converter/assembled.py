"""Training scripts assembled from fragments: one choice per dimension, each a shape that public scripts have.

`script(choice)` is the text of a small classifier's training on random data. Everything that could go wrong unseen is
switched on: dropout and shuffling (so that the order of random draws matters), batch normalisation (so that the mode
matters), and lines that start with `R:` print what was computed.
"""

from __future__ import annotations

import ast

from choices import Choice, possible
from fragments import (
    HEAD,
    after_training,
    evaluation_function,
    indented,
    one_epoch,
    set_up,
    small_functions,
    state_after,
)

from litify_linter.reading.scopes import bound, exposed, read


def script(choice: Choice) -> str:
    """The script that a choice describes."""
    choice = possible(choice)
    setup = set_up(choice)
    start, head, body, end = one_epoch(choice)
    functions = evaluation_function(choice) + small_functions(choice)
    loop = _loop(choice, start, head, body, end, setup)
    after = after_training(choice)
    parts = [HEAD, *functions]
    match choice.place:
        case "guard":
            parts += ['if __name__ == "__main__":', indented([setup, *loop, after])]
        case "main":
            parts += ["def main():", indented([setup, *loop, after])]
            parts += ['\n\nif __name__ == "__main__":\n    main()']
        case "train-in-main":
            function, call = _as_function(
                "train", [*start, *_batches(head, body), *end], loop_of(setup, choice)
            )
            lines = _wrapped_epochs(choice, [call])
            parts += [function, "def main():", indented([setup, *lines, after])]
            parts += ['\n\nif __name__ == "__main__":\n    main()']
        case "folds":
            parts += ["for fold in range(2):", indented([setup, *loop, after])]
        case "one-function":
            function, call = _as_function("fit", loop, bound(ast.parse(setup)))
            parts += [function, setup, call, after]
        case _:
            parts += [setup, *loop, after]
    return "\n".join(p for p in parts if p).lstrip() + "\n"


# -- where the loop lives ----------------------------------------------------------------------------------------------


def loop_of(setup: str, choice: Choice) -> set[str]:
    """Names the caller of train() has: those of the set-up, and the epoch."""
    return bound(ast.parse(setup)) | {"epoch"}


def _batches(head: str | None, body: list[str]) -> list[str]:
    return body if head is None else [head, indented(body)]


def _loop(
    choice: Choice, start: list[str], head: str | None, body: list[str], end: list[str], setup: str
) -> list[str]:
    """The whole loop; for places with a function in the middle, the function too."""
    if choice.place == "train-in-main":
        return []
    if choice.place == "step-function":
        function, call = _as_function(
            "train_step", body, {*bound(ast.parse(setup)), "epoch"}, head, start, end
        )
        return [function, *_wrapped_epochs(choice, [*start, *_batches(head, [call]), *end])]
    if choice.place in ("train-arguments", "train-globals"):
        inner = [*start, *_batches(head, body), *state_after(choice)]
        rest = (
            end[len(state_after(choice)) :] if end[: len(state_after(choice))] == state_after(choice) else end
        )
        inner = inner if rest is not end or not state_after(choice) else [*start, *_batches(head, body)]
        known = bound(ast.parse(setup)) | {"epoch"}
        if choice.place == "train-globals":
            function, call = _as_global_function("train", inner, known, rest, choice)
        else:
            function, call = _as_function("train", inner, known, None, [], [*rest, after_training(choice)])
        return [function, *_wrapped_epochs(choice, [call, *rest])]
    return _wrapped_epochs(choice, [*start, *_batches(head, body), *end])


def _wrapped_epochs(choice: Choice, lines: list[str]) -> list[str]:
    header = {
        "range": "for epoch in range(EPOCHS):",
        "from-1": "for epoch in range(1, EPOCHS + 1):",
        "start-resumed": "for epoch in range(start_epoch, EPOCHS):",
        "trange": "for epoch in trange(3, disable=True):",
        "enumerated": "for count, epoch in enumerate(range(1, EPOCHS + 1)):",
        "list": "for epoch in [0, 1, 2]:",
        "else": "for epoch in range(EPOCHS):",
        "while": "while epoch < EPOCHS:",
    }[choice.epochs]
    if choice.epochs == "while":
        result = ["epoch = 0", header, indented([*lines, "epoch += 1"])]
    else:
        result = [header, indented(lines)]
    if choice.epochs == "else":
        result += ["else:", '    print("R: all epochs", epoch)']
    if choice.control == "interrupt":
        return ["try:", indented(result), "except KeyboardInterrupt:", '    print("R: stopped")']
    return result


def _as_function(
    name: str,
    lines: list[str],
    known: set[str],
    head: str | None = None,
    around: list[str] | None = None,
    later: list[str] | None = None,
) -> tuple[str, str]:
    """(definition, call): what it needs are parameters, what is needed afterwards is returned."""
    tree = ast.parse("\n".join(lines)).body
    if head is not None:
        known = known | bound(ast.parse(f"{head}\n    pass"))
    known = known | (bound(ast.parse("\n".join(around))) if around else set())
    needed = sorted(exposed(tree) & known)
    carried = (bound(tree) & exposed(tree) & known) | (bound(tree) & read(ast.parse("\n".join(later or []))))
    given = sorted(carried - {"data", "target"} if name != "train_step" else carried)
    definition = [*lines, f"return {', '.join(given)}"] if given else lines
    call = f"{name}({', '.join(needed)})"
    call = f"{', '.join(given)} = {call}" if given else call
    return f"def {name}({', '.join(needed)}):\n{indented(definition)}\n\n", call


def _as_global_function(
    name: str, lines: list[str], known: set[str], rest: list[str], choice: Choice
) -> tuple[str, str]:
    """(definition, call): it takes the epoch, reads everything else as globals, and declares what it changes."""
    tree = ast.parse("\n".join(lines)).body
    later = read(ast.parse("\n".join([*rest, after_training(choice)])))
    changed = sorted(((bound(tree) & known) | (bound(tree) & later)) - {"epoch", "data", "target"})
    declared = [f"global {', '.join(changed)}"] if changed else []
    return f"def {name}(epoch):\n{indented([*declared, *lines])}\n\n", f"{name}(epoch)"
