import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x, y = torch.randn(30, 4), torch.randint(0, 3, (30,))
loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
test_loader = DataLoader(TensorDataset(x, y), batch_size=8)
net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 3))
class Crit(nn.Module):
    def __init__(self):
        super().__init__()
        self.s = nn.Parameter(torch.ones(1))
    def forward(self, o, t):
        return self.s * F.cross_entropy(o, t)
crit = Crit()
opt = torch.optim.SGD([*net.parameters(), *crit.parameters()], lr=0.1)
for epoch in range(3):
    for inputs, labels in loader:
        net.zero_grad()
        loss = crit(net(inputs), labels)
        loss.backward()
        opt.step()
