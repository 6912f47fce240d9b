import random

import torch
import torch.nn as nn

torch.manual_seed(4)
random.seed(4)
text = [i * 7 % 11 for i in range(200)]


def random_training_set(length, size):
    starts = [random.randint(0, len(text) - length - 2) for _ in range(size)]
    inp = torch.tensor([text[s : s + length] for s in starts])
    target = torch.tensor([text[s + 1 : s + length + 1] for s in starts])
    return inp, target


class CharRNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Embedding(11, 8)
        self.rnn = nn.GRU(8, 8)
        self.decoder = nn.Linear(8, 11)

    def forward(self, x, hidden):
        output, hidden = self.rnn(self.encoder(x)[None], hidden)
        return self.decoder(output[0]), hidden

    def init_hidden(self, size):
        return torch.zeros(1, size, 8)


def train(inp, target):
    hidden = decoder.init_hidden(4)
    decoder.zero_grad()
    loss = 0
    for c in range(6):
        output, hidden = decoder(inp[:, c], hidden)
        loss += criterion(output, target[:, c])
    loss.backward()
    optimizer.step()
    return loss.item() / 6


decoder = CharRNN()
optimizer = torch.optim.Adam(decoder.parameters(), lr=0.01)
criterion = nn.CrossEntropyLoss()
loss_avg = 0
for epoch in range(1, 13):
    loss = train(*random_training_set(6, 4))
    loss_avg += loss
    if epoch % 4 == 0:
        print("R:", epoch, round(loss, 5))
print("R:", round(loss_avg, 5))
