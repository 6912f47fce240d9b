import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x, y = torch.randn(64, 4), torch.randint(0, 3, (64,))
loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3))
optimizer = torch.optim.Adam(net.parameters())
device = torch.device("cpu")
losses = []
for epoch in range(3):
    for step, (inputs, labels) in enumerate(loader):
        inputs, labels = inputs.to(device), labels.to(device)
        output = net(inputs)
        loss = F.cross_entropy(output, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 3 == 0:
            right = (net(x).argmax(1) == y).float().mean().item()
            print(f"R: {epoch} {step} {loss.item():.6f} {right:.6f} {len(inputs)}")
            for name, p in net.named_parameters():
                print("R:", name, p.grad.abs().sum().item())
        losses.append(loss.item())
print("R:", losses[-1])
