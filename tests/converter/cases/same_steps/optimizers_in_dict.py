import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x, y = torch.randn(30, 4), torch.randint(0, 3, (30,))
loaders = {"train": DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)}
body, head = nn.Linear(4, 8), nn.Linear(8, 3)
opts = {"body": torch.optim.SGD(body.parameters(), lr=0.1), "head": torch.optim.Adam(head.parameters())}
for epoch in range(3):
    for inputs, labels in loaders["train"]:
        for opt in opts.values():
            opt.zero_grad()
        loss = F.cross_entropy(head(torch.tanh(body(inputs))), labels)
        loss.backward()
        opts["body"].step()
        opts["head"].step()
    print("R:", loss.item())
