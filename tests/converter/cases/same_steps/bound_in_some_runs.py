import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


def main(extra=False, schedule=False):
    torch.manual_seed(0)
    x, y = torch.randn(30, 4), torch.randint(0, 3, (30,))
    loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
    body, head = nn.Linear(4, 5), nn.Linear(5, 3)
    optimizer = torch.optim.SGD(body.parameters(), lr=0.5)
    if extra:
        weight = 2.0
    if schedule:
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    for epoch in range(3):
        for inputs, labels in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(head(body(inputs)), labels)
            if extra:
                loss = loss * weight
            loss.backward()
            optimizer.step()
        if schedule:
            scheduler.step()


main()
