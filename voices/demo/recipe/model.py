"""The student: phones and tones to durations, mel-cepstra, pitch and voicing."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from symbols import SYMBOLS

ORDER = 35
WIDTH = 192
TONES = 12


class Block(nn.Module):
    """Residual convolution over time; x [batch, time, width], mask [batch, time, 1] or None."""

    def __init__(self, kernel, dilation=1, dropout=0.05):
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.conv = nn.Conv1d(WIDTH, WIDTH, kernel, padding=dilation * (kernel // 2), dilation=dilation)
        self.dropout = dropout

    def forward(self, x, mask):
        y = self.norm(x) if mask is None else self.norm(x) * mask
        y = F.gelu(self.conv(y.transpose(1, 2)), approximate="tanh").transpose(1, 2)
        return x + F.dropout(y, self.dropout, self.training)


class Student(nn.Module):
    def __init__(self):
        super().__init__()
        self.phone, self.tone = nn.Embedding(len(SYMBOLS), WIDTH), nn.Embedding(TONES, WIDTH)
        for table in (self.phone, self.tone):
            nn.init.normal_(table.weight, 0, 0.3)
        self.near = nn.ModuleList(Block(5) for _ in range(3))
        self.far = nn.GRU(WIDTH, WIDTH // 2, batch_first=True, bidirectional=True)
        self.joined = Block(5)
        self.duration, self.duration_out = Block(3), nn.Linear(WIDTH, 1)
        self.place = nn.Linear(6, WIDTH)
        self.frames = nn.ModuleList(Block(5, dilation) for dilation in (1, 2, 4, 1, 2, 1))
        self.last, self.out = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 2 * (ORDER + 2))
        # Of the mel-cepstra and, last, ln F0, over the training data.
        self.register_buffer("mean", torch.zeros(ORDER + 1))
        self.register_buffer("deviation", torch.ones(ORDER + 1))

    def encode(self, ids, tones, lengths=None, mask=None):
        """[batch, symbols] to states [batch, symbols, width] and ln durations in frames."""
        x = self.phone(ids) + self.tone(tones)
        for block in self.near:
            x = block(x, mask)
        if lengths is None:
            context, _ = self.far(x)
        else:
            packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            context, _ = nn.utils.rnn.pad_packed_sequence(self.far(packed)[0], batch_first=True, total_length=x.shape[1])
        x = self.joined(x + context, mask)
        return x, self.duration_out(self.duration(x, mask)).squeeze(-1)

    def decode(self, states, boundaries, frames, mask=None):
        """Two rows a frame, normalized: mel-cepstra, ln F0, and the logit of voicing.

        `boundaries` [batch, symbols + 1] in frames, not rounded: a frame belongs to the symbol its
        middle lies in. `frames` is a count, or a tensor of one in the exported graph.
        """
        middle = torch.arange(frames, device=states.device, dtype=torch.float32) + 0.5
        owner = (middle[None, :, None] >= boundaries[:, None, 1:]).to(torch.int64).sum(-1)
        owner = torch.minimum(owner, torch.full_like(owner, 1) * (states.shape[1] - 1))
        if states.shape[0] == 1:  # plain Gather in the exported graph
            x = states[0][owner[0]][None]
            start, end = boundaries[0, :-1][owner[0]][None], boundaries[0, 1:][owner[0]][None]
        else:
            x = torch.gather(states, 1, owner[..., None].expand(-1, -1, WIDTH))
            start, end = torch.gather(boundaries[:, :-1], 1, owner), torch.gather(boundaries[:, 1:], 1, owner)
        length = torch.clamp(end - start, min=0.25)
        at = torch.clamp((middle[None] - start) / length, 0.0, 1.0)
        x = x + self.place(torch.stack([
            at, at * at, torch.sin(math.pi * at), torch.log(length) * 0.5,
            torch.exp(-(middle[None] - start).abs() * 0.5), torch.exp(-(end - middle[None]).abs() * 0.5),
        ], -1))
        if mask is not None:
            x = x * mask
        for block in self.frames:
            x = block(x, mask)
        rows = self.out(self.last(x)).reshape(x.shape[0], -1, ORDER + 2)
        return rows[..., :ORDER], rows[..., ORDER], rows[..., ORDER + 1]

    def in_units(self, mcp, lnf0):
        return (mcp * self.deviation[:ORDER] + self.mean[:ORDER], lnf0 * self.deviation[ORDER] + self.mean[ORDER])


def load(path):
    student = Student()
    student.load_state_dict(torch.load(path, weights_only=True))
    return student.eval()
