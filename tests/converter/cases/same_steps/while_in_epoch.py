import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x, y = torch.randn(30, 4), torch.randint(0, 3, (30,))
loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
test_loader = DataLoader(TensorDataset(x, y), batch_size=8)
net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 3))
critic = nn.Linear(3, 1)
opt = torch.optim.SGD(net.parameters(), lr=0.1)
critic_opt = torch.optim.SGD(critic.parameters(), lr=0.1)
rounds = 0
for epoch in range(3):
    batches = iter(loader)
    i = 0
    while i < len(loader):
        most = 3 if rounds < 2 else 1
        k = 0
        while k < most and i < len(loader):
            k += 1
            inputs, labels = next(batches)
            i += 1
            critic_opt.zero_grad()
            critic(net(inputs).detach()).pow(2).mean().backward()
            critic_opt.step()
        opt.zero_grad()
        loss = F.cross_entropy(net(inputs), labels) + critic(net(inputs)).mean()
        loss.backward()
        opt.step()
        rounds += 1
        if loss.item() > 1e6:
            break
    net.eval()
    right = sum((net(a).argmax(1) == b).sum().item() for a, b in test_loader)
    print("R:", epoch, i, rounds, right)
    net.train()
