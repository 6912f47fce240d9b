"""Keyed random numbers: the same call, the same numbers, whatever was drawn in between."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("torch")

# One process for all of it: importing torch costs seconds, and what keyed.install() changes cannot be changed back.
PRELUDE = """
import random, copy
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset, random_split, WeightedRandomSampler
from torch.utils.checkpoint import checkpoint
from litify_converter.verify import keyed

keyed.install()
fresh = keyed.Keys

def same(a, b):
    return torch.equal(torch.as_tensor(a), torch.as_tensor(b))

def again(draw):
    "What `draw` gives with the counts as they were before the last call of it: by saving and restoring the state."
    state = torch.get_rng_state()
    first = draw()
    torch.rand(5, 5); random.random(); np.random.rand(); nn.Linear(7, 7)   # unrelated
    torch.set_rng_state(state)
    torch.rand(9, 9); nn.Linear(8, 8); np.random.randn(4)                  # unrelated too
    return first, draw()
"""

DRAWS = {
    "weights": "nn.Linear(3, 4).weight",
    "in place": "torch.empty(3).normal_()",
    "factory": "torch.randn(2, 3)",
    "like": "torch.randn_like(torch.ones(2, 3))",
    "permutation": "torch.randperm(20)",
    "dropout": "F.dropout(torch.ones(50))",
    "dropout in an LSTM": "nn.LSTM(4, 5, 2, dropout=0.5)(torch.ones(3, 2, 4))[0]",
    "attention dropout": "F.scaled_dot_product_attention(*[torch.ones(1, 2, 3, 4)] * 3, dropout_p=0.5)",
    "randomized relu": "F.rrelu(-torch.ones(20), training=True)",
    "gumbel": "F.gumbel_softmax(torch.ones(4, 6))",
    "distribution": "torch.distributions.Normal(0., 1.).rsample((3,))",
    "gamma": "torch.distributions.Gamma(torch.ones(3), torch.ones(3)).sample()",
    "weighted sampler": "list(WeightedRandomSampler(torch.ones(9), 9))",
    "split": "random_split(range(20), [15, 5])[0].indices",
    "shuffled loader": "torch.cat(list(DataLoader(torch.arange(30), shuffle=True, batch_size=4)))",
    "numpy": "np.random.rand(3)",
    "numpy choice": "np.random.choice(10, 3, replace=False)",
    "numpy default_rng": "np.random.default_rng().random(3)",
    "numpy global state": "np.random.mtrand._rand.permutation(9)",
    "random": "[random.random(), random.randint(0, 99), random.gauss(0, 1)]",
    "random shuffle": "random.sample(range(30), 30)",
}

BODY = """
for name, draw in DRAWS.items():
    first, second = again(lambda: eval(draw))
    assert same(first, second), f"{name}: an unrelated call changed the numbers"
    third = eval(draw)
    assert not same(second, third), f"{name}: the same numbers twice in a row"

# the script's own seeds do not act, generators of its own do
state = torch.get_rng_state()
a = torch.rand(4)
torch.set_rng_state(state)
torch.manual_seed(99); np.random.seed(99); random.seed(99)
assert same(a, torch.rand(4))
g = lambda: torch.Generator().manual_seed(7)
assert same(torch.rand(3, generator=g()), torch.rand(3, generator=g()))
assert same(torch.randperm(9, generator=g()), torch.randperm(9, generator=g()))
own = lambda: list(DataLoader(range(9), shuffle=True, generator=g()))
assert [int(v) for v in own()] == [int(v) for v in own()]
assert np.random.RandomState(3).rand() == np.random.RandomState(3).rand()

# a sanity check that saves and restores the random state disturbs nothing
state = torch.get_rng_state()
expected = list(DataLoader(range(50), shuffle=True)), torch.rand(4)
torch.set_rng_state(state)
with torch.random.fork_rng():
    list(DataLoader(range(50), shuffle=True)); torch.rand(4); random.random()
actual = list(DataLoader(range(50), shuffle=True)), torch.rand(4)
assert expected[0] == actual[0] and same(expected[1], actual[1])

# a second loader drawn in between does not change the first one's order
state = torch.get_rng_state()
expected = list(DataLoader(range(50), shuffle=True))
torch.set_rng_state(state)
list(DataLoader(range(7)))
assert expected == list(DataLoader(range(50), shuffle=True))

# activation checkpointing draws the same dropout mask again in backward
x = torch.ones(100, requires_grad=True)
y = checkpoint(lambda x: F.dropout(x, 0.5) * 2, x, use_reentrant=False)
y.sum().backward()
assert same(x.grad, y.detach())

# so do two copies of one program that build model and data in another order
def program(model_first):
    torch.set_rng_state(beginning)
    if model_first: net = nn.Sequential(nn.Linear(3, 3), nn.Dropout(), nn.Linear(3, 1))
    x = torch.randn(16, 3)
    if not model_first: net = nn.Sequential(nn.Linear(3, 3), nn.Dropout(), nn.Linear(3, 1))
    return [net(batch).detach() for batch in DataLoader(x, batch_size=4, shuffle=True)]
beginning = torch.get_rng_state()
assert all(map(same, program(True), program(False)))
print("all held")
"""


def test_keyed_numbers() -> None:
    script = f"{PRELUDE}\nDRAWS = {DRAWS!r}\n{textwrap.dedent(BODY)}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=200
    )
    assert done.stdout.endswith("all held\n"), done.stderr
