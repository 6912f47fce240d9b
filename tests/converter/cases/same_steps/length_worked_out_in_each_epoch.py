import torch
import torch.nn as nn

torch.manual_seed(5)
data = torch.randint(0, 7, (4, 90))
model = nn.Sequential(nn.Embedding(7, 6), nn.Dropout(0.1), nn.Linear(6, 7))
criterion = nn.CrossEntropyLoss()
lr = 0.5
optimizer = torch.optim.SGD(model.parameters(), lr=lr)
width, step = 12, 10


def train(epoch):
    model.train()
    total_loss = 0
    losses = []
    source = data
    source_len = source.size(1)
    for batch_idx, i in enumerate(range(0, source_len - 1, step)):
        if i + width - step >= source_len:
            continue
        inp, target = source[:, i : i + width], source[:, i + 1 : i + width + 1]
        inp = inp[:, : target.size(1)]
        optimizer.zero_grad()
        loss = criterion(model(inp).reshape(-1, 7), target.reshape(-1))
        loss.backward()
        optimizer.step()
        total_loss += loss.item()
        if batch_idx % 2 == 0 and batch_idx > 0:
            losses.append(total_loss / 2)
            print("R:", epoch, batch_idx, int((source_len - 0.5) / step), lr, round(losses[-1], 5))
            total_loss = 0
    return sum(losses) / len(losses)


def main():
    global lr
    every = []
    for epoch in range(1, 4):
        every.append(train(epoch))
        if epoch > 1 and every[-1] >= max(every[-5:]) - 0.2:
            lr = lr / 2
            for param_group in optimizer.param_groups:
                param_group["lr"] = lr
    print("R:", [round(v, 5) for v in every])


main()
