"""Forward passes and printed lines: what of a script is seen between its optimizer steps."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from litify_converter.verify.trace import Trace

Record = Callable[..., Trace]  # the fixture of conftest.py

NETS = """
import torch
from torch import nn

class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)
    def forward(self, x):
        return self.layer(x)

class LightningModule(nn.Module):  # known by its name, whichever package it comes from
    def __init__(self):
        super().__init__()
        self.model = Inner()
    def forward(self, x):
        return self.model(x)

net = Inner()
x = torch.ones(2, 3)
"""


def test_only_the_outermost_call_is_a_pass_and_its_place_is_the_users_line(record: Record) -> None:
    trace = record(NETS + """
net.layer.weight.data.fill_(1.0); net.layer.bias.data.fill_(1.0)
criterion = nn.MSELoss()
with torch.no_grad():
    criterion(net(x), torch.zeros(2, 1))
""")
    (one,) = trace.passes
    assert one.norm == pytest.approx((2 * 4.0**2) ** 0.5)
    assert one.evaluation
    assert one.where is not None and one.where.endswith(f"train.py:{len(NETS.splitlines()) + 5}")


def test_evaluation_is_without_gradients_or_in_evaluation_mode(record: Record) -> None:
    trace = record(NETS + """
net(x)
net.eval(); net(x)
with torch.no_grad():
    net(x); net.train(); net(x)
with torch.inference_mode():
    net(x)
""")
    assert [one.evaluation for one in trace.passes] == [False, True, True, True, True]


def test_a_lightning_module_is_seen_through(record: Record) -> None:
    """`self(x)` and `self.model(x)` must both be found by who calls `model(x)`."""
    trace = record(NETS + "lit = LightningModule()\nlit(x)\nlit.model(x)\n")
    norms = [one.norm for one in trace.passes]
    assert len(norms) == 3 and len(set(norms)) == 1


def test_passes_and_lines_know_how_many_steps_were_taken(record: Record) -> None:
    trace = record(NETS + """
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
print("start 0")
for epoch in range(2):
    optimizer.zero_grad()
    loss = net(x).sum()
    loss.backward()
    optimizer.step()
    print(f"epoch {epoch}:", end=" ")
    print(float(loss))
print("no number")
""")
    assert [one.step for one in trace.passes] == [0, 1]
    assert [one.step for one in trace.lines] == [0, 1, 2]
    assert trace.lines[1].text.startswith("epoch 0: ")
    line = len(NETS.splitlines()) + 9
    assert trace.lines[1].where is not None and trace.lines[1].where.endswith(f"train.py:{line}")


def test_a_permuted_batch_is_another_output(record: Record) -> None:
    trace = record(NETS + "x = torch.randn(4, 3)\nnet(x); net(x.flip(0)); net(x)\n")
    first, second, third = trace.passes
    assert first.norm == pytest.approx(second.norm)
    assert first.projection != pytest.approx(second.projection)
    assert (first.norm, first.projection) == (third.norm, third.projection)


def test_outputs_of_any_shape_are_measured(record: Record) -> None:
    trace = record(NETS + """
class Many(nn.Module):
    def __init__(self, out):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.out = out
    def forward(self):
        return self.out

one = torch.ones(3)
for out in (one, (one, [one, None]), {"a": one, "b": {"c": one}}, torch.ones(3, dtype=torch.cfloat),
            torch.ones(3, dtype=torch.int64), torch.ones(3).to_sparse(), torch.nn.utils.rnn.pack_sequence([one]),
            None, "text", torch.zeros(0)):
    Many(out)()
""")
    squares = [round(one.norm**2) for one in trace.passes]
    assert squares[:6] == [3, 6, 6, 3, 3, 3]
    assert len(squares) == 7  # what holds no numbers leaves no pass


def test_transformed_and_compiled_modules_run_as_without_the_recorder(record: Record) -> None:
    trace = record(NETS + """
parameters = dict(net.named_parameters())
single = lambda row: torch.func.functional_call(net, parameters, (row,))
assert torch.allclose(torch.func.vmap(single)(x), net(x))
torch.func.jacrev(single)(x[0])
scripted = torch.jit.trace(net, x)
compiled = torch.compile(net, backend="eager", fullgraph=True)
for _ in range(2):
    assert torch.allclose(compiled(x), net(x))
""")
    assert trace.end is not None and trace.end.reason == "exit", trace.end


def test_however_a_line_is_printed(record: Record) -> None:
    trace = record("""
import sys

class Tee:
    def __init__(self, stream):
        self.stream = stream
    def write(self, text):
        return self.stream.write(text)
    def flush(self):
        self.stream.flush()

print("print", 1)
sys.stdout.write("write 2\\n")
print("tee 3", file=Tee(sys.stdout))
sys.stdout = Tee(sys.stdout)
print("replaced 4")
print("1" * 1000)
print("\\r  50 %", end="")
print("\\r      \\rover a bar 5")
print("to stderr 6", file=sys.stderr)
""")
    assert [line.text for line in trace.lines] == [
        "print 1",
        "write 2",
        "tee 3",
        "replaced 4",
        "over a bar 5",
    ]
