import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(8)
x = torch.randn(40, 1)
y = 2 * x + 1
weight = torch.randn(1, requires_grad=True)
bias = torch.zeros(1, requires_grad=True)


def model(xb):
    return xb @ weight.view(1, 1) + bias


optimizer = torch.optim.SGD([weight, bias], lr=0.1)
for epoch in range(3):
    loss = F.mse_loss(model(x), y)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
print("R:", round(loss.item(), 5))

model = nn.Linear(1, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
for epoch in range(3):
    loss = F.mse_loss(model(x), y)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
print("R:", round(loss.item(), 5))
