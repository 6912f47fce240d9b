import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

np.random.seed(5)
torch.manual_seed(5)
x = torch.randn(50, 4)
y = (x[:, 0] > 0).long()
model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.2), nn.Linear(8, 2))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
for epoch in range(3):
    model.train()
    order = np.random.permutation(len(x))
    batches = np.array_split(order, 6)
    total = 0.0
    for i, batch in enumerate(batches):
        index = torch.as_tensor(batch)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x[index]), y[index])
        loss.backward()
        optimizer.step()
        total += loss.item()
    print("R:", epoch, round(total / len(batches), 5))
