import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader

torch.manual_seed(0)
data = [{"x": torch.randn(4), "y": torch.tensor(i % 3)} for i in range(30)]
loader = DataLoader(data, batch_size=8, shuffle=True)
test_loader = DataLoader(data, batch_size=7)
net = nn.Linear(4, 3)
optimizer = torch.optim.Adam(net.parameters())

for epoch in range(3):
    net.train()
    for batch in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(batch["x"]), batch["y"])
        loss.backward()
        optimizer.step()
    net.eval()
    correct = 0
    with torch.no_grad():
        for batch in test_loader:
            out = net(batch["x"])
            correct += (out.argmax(1) == batch["y"]).sum().item()
    print(f"R: {epoch} {correct / len(test_loader.dataset):.4f}")
