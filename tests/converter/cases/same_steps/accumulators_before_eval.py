import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

x, y = torch.randn(48, 4), torch.randint(0, 3, (48,))
train_data = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True)
test_data = DataLoader(TensorDataset(x, y), batch_size=16)
net = nn.Linear(4, 3)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(net.parameters(), 1e-1)
losses = []
eval_losses = []
for e in range(3):
    train_loss = 0
    net.train()
    for im, label in train_data:
        out = net(im)
        loss = criterion(out, label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        train_loss += loss.item()
    losses.append(train_loss / len(train_data))
    eval_loss = 0
    eval_acc = 0
    net.eval()
    for im, label in test_data:
        out = net(im)
        loss = criterion(out, label)
        eval_loss += loss.item()
        eval_acc += (out.argmax(1) == label).sum().item() / im.shape[0]
    eval_losses.append(eval_loss / len(test_data))
    print("R:", e, train_loss / len(train_data), eval_loss / len(test_data), eval_acc / len(test_data))
