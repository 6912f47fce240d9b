import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
if torch.cuda.is_available():
    torch.cuda.set_device(0)


def save(net, path):
    torch.save(net.module.state_dict() if isinstance(net, nn.DataParallel) else net.state_dict(), path)


net = nn.Linear(4, 3)
if torch.cuda.device_count() > 1:
    print("Let's use", torch.cuda.device_count(), "GPUs!")
    net = nn.DataParallel(net)
net = net.to(device)
other = nn.DataParallel(nn.Linear(4, 3)).to(device)
optimizer = torch.optim.Adam([*net.parameters(), *other.module.parameters()])
for epoch in range(3):
    for inputs, labels in loader:
        inputs, labels = inputs.to(device), labels.to(device)
        optimizer.zero_grad()
        loss = F.cross_entropy(net(inputs) + other(inputs), labels)
        loss.backward()
        optimizer.step()
    save(net, "net.pt")
