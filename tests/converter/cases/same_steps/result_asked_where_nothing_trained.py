import sys

import torch
from torch import nn

torch.manual_seed(0)
x = torch.randn(8, 4)
model = nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
y = x.sum(1, keepdim=True)
best = float("inf")
if len(sys.argv) < 99:
    for epoch in range(3):
        loss = nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        best = min(best, loss.detach())
print(f"best {float(best):.3f} {model(x).sum().item():.4f}")
