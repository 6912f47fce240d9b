import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


torch.manual_seed(0)
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
loader = DataLoader(TensorDataset(x, y), batch_size=8)
net = nn.Linear(4, 3).to(device)
optimizer = torch.optim.Adam(net.parameters())
other = nn.Linear(4, 3)
scale = other.weight.detach().sum().item()
for epoch in range(2):
    net.train()
    for step, (inputs, labels) in enumerate(loader):
        inputs, labels = inputs.to(device), labels.to(device)
        optimizer.zero_grad()
        loss = F.cross_entropy(net(inputs), labels) * scale
        loss.backward()
        optimizer.step()
        if step == 1:
            net.eval().cpu()
            torch.save(net.state_dict(), "net.pt")
            net.to(device).train()
print("R:", loss.item())
