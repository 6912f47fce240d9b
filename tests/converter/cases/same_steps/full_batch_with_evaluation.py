import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(0)
x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3))
optimizer = torch.optim.Adam(net.parameters())


def train():
    net.train()
    optimizer.zero_grad()
    loss = F.cross_entropy(net(x), y)
    loss.backward()
    optimizer.step()
    return loss.item()


@torch.no_grad()
def test():
    net.eval()
    out = net(x)
    return (out.argmax(1) == y).float().mean().item(), F.cross_entropy(out, y).item()


best = 0
for epoch in range(1, 4):
    loss = train()
    accuracy, test_loss = test()
    best = max(best, accuracy)
    print(f"R: {epoch} {loss:.6f} {accuracy:.6f} {test_loss:.6f} {best:.6f}")
print("R:", net.training, net(x).sum().item(), best)
