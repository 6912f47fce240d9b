"""Fragments of training scripts: for each choice the lines of the set-up, of one epoch, and of the functions it calls.

`assembled.py` puts the lines together.
"""

from __future__ import annotations

import textwrap

from choices import Choice

HEAD = """
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.utils.data import DataLoader, TensorDataset
from tqdm import tqdm, trange

EPOCHS = 3
BATCH = 6


class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.first = nn.Linear(4, width)
        self.norm = nn.BatchNorm1d(width)
        self.drop = nn.Dropout(0.3)
        self.last = nn.Linear(width, 3)

    def forward(self, x, hidden=None):
        h = self.norm(self.first(x))
        if hidden is not None:
            h = h + hidden
        h = torch.tanh(self.drop(h))
        if hidden is not None:
            return self.last(h), h.mean(0)
        return self.last(h)
"""
SETUP = """
torch.manual_seed(1)
x_train = torch.randn(26, 4)
y_train = torch.randint(0, 3, (26,))
x_test = torch.randn(14, 4)
y_test = torch.randint(0, 3, (14,))
train_loader = DataLoader(TensorDataset(x_train, y_train), batch_size=BATCH, shuffle=True)
test_loader = DataLoader(TensorDataset(x_test, y_test), batch_size=BATCH)
model = Net()
"""


# -- set-up ------------------------------------------------------------------------------------------------------------


def set_up(choice: Choice) -> str:
    lines = [SETUP.strip()]
    if choice.device == "device":
        lines += [
            'device = torch.device("cuda" if torch.cuda.is_available() else "cpu")',
            "model = model.to(device)",
        ]
    if choice.device == "cuda-if":
        lines += ["use_cuda = torch.cuda.is_available()", "if use_cuda:", "    model.cuda()"]
    if choice.source == "zip":
        lines.append("other_loader = DataLoader(TensorDataset(x_train * 2), batch_size=BATCH, shuffle=True)")
    lines += _optimizers(choice)
    lines += {
        "step-lr": ["scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)"],
        "step-lr-early": ["scheduler = optim.lr_scheduler.StepLR(optimizer, 1, 0.7)"],
        "step-lr-before": ["scheduler = optim.lr_scheduler.StepLR(optimizer, 2, 0.5)"],
        "printed-rate": ["scheduler = optim.lr_scheduler.ExponentialLR(optimizer, 0.8)"],
        "per-batch": ["scheduler = optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))"],
        "plateau": [
            'scheduler = optim.lr_scheduler.ReduceLROnPlateau(optimizer, "min", factor=0.5, patience=0)'
        ],
        "manual": ["lr = 0.1"],
        "adjust-function": ["lr = 0.1"],
    }.get(choice.schedule, [])
    lines += {
        "hidden-kept": ["hidden = torch.zeros(8)"],
        "ema": ["average = [p.detach().clone() for p in model.parameters()]"],
        "list": ["losses = []"],
        "global-step": ["global_step = 0"],
        "last-loss": ["last_loss = 1.0"],
    }.get(choice.state, [])
    if choice.evaluation == "best" or choice.control == "early-stop":
        lines += ['best = float("inf")']
    if choice.source == "iterator":
        lines.append("iterator = iter(train_loader)")
    if choice.epochs == "start-resumed":
        lines.append("start_epoch = 1")
    if choice.evaluation == "before-too":
        lines.append("test(model, test_loader)")
    return "\n".join(lines)


def _optimizers(choice: Choice) -> list[str]:
    if choice.step == "closure":
        return ["optimizer = optim.LBFGS(model.parameters(), lr=0.1, max_iter=3)"]
    if choice.step in ("two-optimizers", "alternate"):
        return [
            "optimizer = optim.Adam(model.first.parameters(), lr=0.01)",
            "optimizer2 = optim.SGD(list(model.norm.parameters()) + list(model.last.parameters()), lr=0.1)",
        ]
    return ["optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)"]


# -- one epoch ---------------------------------------------------------------------------------------------------------


def one_epoch(choice: Choice) -> tuple[list[str], str | None, list[str], list[str]]:
    """(lines before the batch loop, its header, its body, lines after it)."""
    start = _schedule_start(choice)
    if choice.evaluation in (
        "function",
        "returned",
        "best",
        "inline",
        "on-train",
        "function-globals",
        "before-too",
    ):
        start.append("model.train()")
    start += {
        "running-loss": ["running_loss = 0.0"],
        "sample-mean": ["total_loss = 0", "seen = 0"],
        "counts": ["correct, total = 0, 0"],
        "hidden": ["hidden = torch.zeros(8)"],
    }.get(choice.state, [])
    header, receive = _source(choice)
    if choice.source == "permutation":
        start.append("order = torch.randperm(len(x_train))")
    if choice.source == "bar":
        start.append("bar = tqdm(train_loader, disable=True)")
    if choice.control == "reseeded":
        start.insert(0, "torch.manual_seed(7 + epoch)")
    forward = _forward(choice)
    body = receive + _control_top(choice) + _step(choice, forward) + _state_in_step(choice)
    if choice.source == "bar":
        body += ["bar.set_description(f'epoch {epoch}')", "bar.set_postfix(loss=loss.item())"]
    if choice.schedule == "per-batch":
        body.append("scheduler.step()")
    if choice.control == "break-end" and header is not None:
        body += (
            [f"if {_index(choice)} >= 2:", "    break"]
            if _index(choice)
            else ["if loss.item() < 0.9:", "    break"]
        )
    end = state_after(choice) + _evaluation_and_schedule(choice)
    if choice.control == "epoch-continue":
        end = (
            ["if epoch == 1:", "    continue", *end]
            if end
            else ["if epoch == 1:", "    continue", "print('R: late')"]
        )
    if choice.control == "early-stop":
        metric = "val_loss" if choice.evaluation in ("returned", "best", "inline") else "loss.item()"
        end += [f"if {metric} > best + 0.05:", "    break", f"best = min(best, {metric})"]
    return start, header, body, end


def _source(choice: Choice) -> tuple[str | None, list[str]]:
    move = {
        "device": ["data, target = data.to(device), target.to(device)"],
        "cuda-if": ["if use_cuda:", "    data, target = data.cuda(), target.cuda()"],
    }.get(choice.device, [])
    both = "data, target"
    header, receive = {
        "loader": (f"for {both} in train_loader:", []),
        "enumerate": (f"for batch_idx, ({both}) in enumerate(train_loader):", []),
        "enumerate-1": (f"for batch_idx, ({both}) in enumerate(train_loader, 1):", []),
        "batch-name": ("for batch in train_loader:", [f"{both} = batch"]),
        "tqdm": (f"for {both} in tqdm(train_loader, disable=True):", []),
        "bar": (f"for {both} in bar:", []),
        "slices": (
            "for i in range(0, len(x_train), BATCH):",
            ["data = x_train[i : i + BATCH]", "target = y_train[i : i + BATCH]"],
        ),
        "permutation": (
            "for i in range(0, len(x_train), BATCH):",
            ["rows = order[i : i + BATCH]", f"{both} = x_train[rows], y_train[rows]"],
        ),
        "full": (None, [f"{both} = x_train, y_train"]),
        "zip": (
            f"for ({both}), (other,) in zip(train_loader, other_loader):",
            ["data = data + other"],
        ),
        "get-batch": ("for it in range(4):", [f"{both} = get_batch(x_train, y_train)"]),
        "iterator": (
            "for it in range(7):",
            ["try:", f"    {both} = next(iterator)", "except StopIteration:", "    iterator = iter(train_loader)",
             f"    {both} = next(iterator)"],
        ),
    }[choice.source]  # fmt: skip
    return header, receive + move


def _index(choice: Choice) -> str | None:
    return {"enumerate": "batch_idx", "enumerate-1": "batch_idx", "get-batch": "it", "iterator": "it"}.get(
        choice.source
    )


def _forward(choice: Choice) -> list[str]:
    if choice.state in ("hidden", "hidden-kept"):
        return ["output, hidden = model(data, hidden.detach())"]
    return ["output = model(data)"]


def _control_top(choice: Choice) -> list[str]:
    index = _index(choice)
    match choice.control:
        case "break-top" if choice.source != "full":
            return [f"if {index} == 3:", "    break"] if index else ["if len(data) < BATCH:", "    break"]
        case "continue" if choice.source != "full":
            return ["if data[0, 0] > 0.5:", "    continue"]
    return []


def _step(choice: Choice, forward: list[str]) -> list[str]:
    loss = ["loss = F.cross_entropy(output, target)"]
    zero, backward, step = ["optimizer.zero_grad()"], ["loss.backward()"], ["optimizer.step()"]
    counter = _index(choice) or ("global_step" if choice.state == "global-step" else None)
    match choice.step:
        case "zero-late":
            return [*forward, *loss, *zero, *backward, *step]
        case "zero-after":
            return [*forward, *loss, *backward, *step, *zero]
        case "model-zero":
            return ["model.zero_grad()", *forward, *loss, *backward, *step]
        case "clip":
            clip = ["nn.utils.clip_grad_norm_(model.parameters(), 0.2)"]
            return [*zero, *forward, *loss, *backward, *clip, *step]
        case "clip-early":
            clip = ["torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=0.2)"]
            return [*zero, *forward, *loss, *clip, *backward, *step]
        case "accumulate" if counter:
            every = [f"if ({counter} + 1) % 2 == 0:", "    optimizer.step()", "    optimizer.zero_grad()"]
            return [*forward, *loss, "loss = loss / 2", *backward, *every]
        case "two-optimizers":
            zero2, step2 = ["optimizer2.zero_grad()"], ["optimizer2.step()"]
            return [*zero, *zero2, *forward, *loss, *backward, *step, *step2]
        case "alternate":
            again = ["optimizer2.zero_grad()", *forward, "loss2 = F.cross_entropy(output, target)"]
            return [*zero, *forward, *loss, *backward, *step, *again, "loss2.backward()", "optimizer2.step()"]
        case "closure" if choice.state not in ("hidden", "hidden-kept"):
            inner = [*zero, *forward, *loss, *backward, "return loss"]
            after = ["loss = optimizer.step(closure)", *forward]
            return ["def closure():", *(f"    {line}" for line in inner), *after]
        case "inline-loss":
            return [*zero, *forward, "F.cross_entropy(output, target).backward()", *step, *loss]
        case "loss-changed-after":
            return [*zero, *forward, *loss, *backward, *step, "loss = loss * len(data)"]
        case "skip-step":
            guarded = ["if loss.item() < 1.2:", "    optimizer.step()"]
            return [*zero, *forward, *loss, *backward, *guarded]
        case "in-if":
            inner = [*zero, *backward, *step]
            return [*forward, *loss, "if not torch.isnan(loss):", *(f"    {line}" for line in inner)]
    return [*zero, *forward, *loss, *backward, *step]


def _state_in_step(choice: Choice) -> list[str]:
    return {
        "running-loss": ["running_loss += loss.item()"],
        "sample-mean": ["total_loss += loss.item() * len(data)", "seen += data.size(0)"],
        "counts": ["correct += (output.argmax(1) == target).sum().item()", "total += target.size(0)"],
        "ema": ["for a, p in zip(average, model.parameters()):", "    a.mul_(0.9).add_(p.detach(), alpha=0.1)"],
        "list": ["losses.append(loss.item())"],
        "global-step": ["global_step += 1"],
        "last-loss": ["if loss.item() > last_loss:", "    target_drop = model.drop", "    target_drop.p = 0.6",
                      "last_loss = loss.item()"],
    }.get(choice.state, [])  # fmt: skip


def state_after(choice: Choice) -> list[str]:
    batches = "len(train_loader)" if choice.source != "full" else "1"
    return {
        "running-loss": [f'print("R:", epoch, running_loss / {batches})'],
        "sample-mean": ['print("R:", epoch, total_loss / seen)'],
        "counts": ['print("R: %d %.4f" % (epoch, 100.0 * correct / total), correct, total)'],
        "ema": ['print(f"R: {epoch} {sum(float(a.sum()) for a in average):.4f}")'],
        "list": ['print("R:", epoch, sum(losses) / len(losses))'],
        "global-step": ['print("R:", epoch, global_step)'],
        "last-loss": ['print(f"R: {last_loss:.4f}")'],
    }.get(choice.state, [])


# -- schedule and evaluation -------------------------------------------------------------------------------------------


def _schedule_start(choice: Choice) -> list[str]:
    return {
        "step-lr-before": ["if epoch > 1:", "    scheduler.step()"],
        "manual": ["for group in optimizer.param_groups:", '    group["lr"] = lr * 0.5**epoch'],
        "adjust-function": ["adjust_learning_rate(optimizer, lr, epoch)"],
    }.get(choice.schedule, [])


def _evaluation_and_schedule(choice: Choice) -> list[str]:
    evaluate = {
        "function": ["test(model, test_loader)"],
        "function-globals": ["test()"],
        "function-no-eval": ["test(model, test_loader)"],
        "returned": ["val_loss = test(model, test_loader)", 'print(f"R: {epoch} {val_loss:.4f}")'],
        "best": ["val_loss = test(model, test_loader)", "if val_loss < best:", "    best = val_loss",
                 '    torch.save(model.state_dict(), "best.pt")', 'print("R: best", best)'],
        "inline": ["model.eval()", "val_loss = 0.0", "with torch.no_grad():", "    for data, target in test_loader:",
                   "        val_loss += F.cross_entropy(model(data), target).item()",
                   "val_loss /= len(test_loader)", 'print("R: val", val_loss)'],
        "sticky": ["test(model, test_loader)"],
        "every-2": ["if epoch % 2 == 0:", "    test(model, test_loader)"],
        "on-train": ["test(model, train_loader)"],
        "twice": ["test(model, train_loader)", "test(model, test_loader)"],
        "before-too": ["test(model, test_loader)"],
    }.get(choice.evaluation, [])  # fmt: skip
    metric = "val_loss" if choice.evaluation in ("returned", "best", "inline") else "loss.item()"
    step = {
        "step-lr": ["scheduler.step()"],
        "step-lr-early": ["scheduler.step()"],
        "plateau": [f"scheduler.step({metric})"],
        "printed-rate": ['print("R: rate", optimizer.param_groups[0]["lr"])', "scheduler.step()"],
    }.get(choice.schedule, [])
    return [*step, *evaluate] if choice.schedule == "step-lr-early" else [*evaluate, *step]


def evaluation_function(choice: Choice) -> list[str]:
    if choice.evaluation in ("none", "inline"):
        return []
    mode = [] if choice.evaluation == "function-no-eval" else ["model.eval()"]
    back = ["model.train()"] if choice.evaluation in ("every-2", "twice") else []
    loader = "test_loader" if choice.evaluation == "function-globals" else "loader"
    body = [
        *mode,
        "test_loss = 0",
        "correct = 0",
        "with torch.no_grad():",
        f"    for data, target in {loader}:",
        "        output = model(data)",
        "        test_loss += F.cross_entropy(output, target).item()",
        "        pred = output.argmax(dim=1)",
        "        correct += pred.eq(target).sum().item()",
        f"test_loss /= len({loader})",
        f'print("R: test", test_loss, correct / len({loader}.dataset))',
        *back,
    ]
    if choice.evaluation in ("returned", "best"):
        body.append("return test_loss")
    parameters = "" if choice.evaluation == "function-globals" else "model, loader"
    return [f"def test({parameters}):", indented(body), "\n"]


def small_functions(choice: Choice) -> list[str]:
    found = []
    if choice.source == "get-batch":
        lines = ["rows = torch.randint(0, len(x), (BATCH,))", "return x[rows], y[rows]"]
        found += ["def get_batch(x, y):", indented(lines), "\n"]
    if choice.schedule == "adjust-function":
        lines = ["for group in optimizer.param_groups:", '    group["lr"] = lr * (0.1 ** (epoch // 2))']
        found += ["def adjust_learning_rate(optimizer, lr, epoch):", indented(lines), "\n"]
    return found


def after_training(choice: Choice) -> str:
    return {
        "none": "",
        "loss": 'print("R: last", loss.item())',
        "epoch": 'print("R: done after", epoch)',
        "weights": 'torch.save(model.state_dict(), "model.pt")\n'
        'print("R:", sorted(torch.load("model.pt")), sum(float(p.sum()) for p in model.parameters()))',
        "evaluate-again": 'model.eval()\nwith torch.no_grad():\n    print("R: final", model(x_test).sum().item())',
    }[choice.after]


def indented(lines: list[str]) -> str:
    return textwrap.indent("\n".join(line for line in lines if line), "    ")
