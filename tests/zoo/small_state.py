"""What a network is made of and remembers: weights, buffers, states, chance."""

import torch
import torch.nn.functional as F  # noqa: N812  # as everybody writes it
from small import Small
from torch import Tensor, nn


class Buffers(nn.Module):
    """Buffers, one of them not in the state_dict, one an infinite mask."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.5, 1.0, 2.0]))
        self.register_buffer("table", torch.arange(3.0), persistent=False)
        self.register_buffer("mask", torch.tensor([0.0, -torch.inf, 0.0]))

    def forward(self, x: Tensor) -> Tensor:
        return ((x - self.mean) * self.table + self.mask).softmax(1)


class Counter(nn.Module):
    """It counts its calls in a buffer; the answers do not tell."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * 2


class Remembers(nn.Module):
    """Its answer depends on the call before."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("last", torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        self.last.mul_(0.5).add_(x.mean(0))
        return x + self.last


class RemembersAttribute(nn.Module):
    """The same in a plain attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def forward(self, x: Tensor) -> Tensor:
        self.seen += 1
        return x * self.seen


class InPlace(nn.Module):
    """It changes what it was given."""

    def forward(self, x: Tensor) -> Tensor:
        x[:, 0] = 0
        return x * 2


class InPlaceUnseen(nn.Module):
    """It may change what it was given, though seldom a value that was there."""

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp_(-1e9, 1e9) * 2


class InPlaceInside(nn.Module):
    """It changes a copy."""

    def forward(self, x: Tensor) -> Tensor:
        y = x.clone()
        y[:, 0] = 0
        y.relu_()
        return y


class DropoutOn(nn.Module):
    """F.dropout's own default is to drop."""

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5)


class DropoutKept(nn.Module):
    """A part that was put into train mode and left there."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)
        self.drop = nn.Dropout(0.5)

    def train(self, mode: bool = True) -> "DropoutKept":
        super().train(mode)
        self.drop.training = True
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.fc(x))


class Noise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 0.01 * torch.randn_like(x)


class RareNoise(nn.Module):
    """Chance that shows in the answer, however small the numbers."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.bernoulli(torch.full_like(x, 0.5))


class Tied(nn.Module):
    """One matrix is the embedding and the head."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 8)
        self.head = nn.Linear(8, 20, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.embedding(tokens).mean(1))


class Lstm(nn.Module):
    """Tokens and the states of an LSTM in and out."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(30, 6)
        self.lstm = nn.LSTM(6, 5, num_layers=2, batch_first=True)

    def forward(
        self, tokens: Tensor, hidden: Tensor, cell: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        y, (hidden, cell) = self.lstm(self.embedding(tokens), (hidden, cell))
        return y, (hidden, cell)


class Gru(nn.Module):
    """A GRU in both directions, without a state from outside."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(3, 5, bidirectional=True, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.gru(x)[0]


class TimeFirst(nn.Module):
    """nn.LSTM as it is unless told otherwise: the axis of time goes before the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 5)
        self.head = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0])


class Rnn(nn.Module):
    """nn.RNN, which the exporter has no operator for."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.RNN(3, 5, 2, bidirectional=True)
        self.up = nn.RNN(10, 4, nonlinearity="relu", bias=False)

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        found, last = self.down(x, hidden)
        return self.up(found)[0], last


class RnnBatchFirst(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.RNN(3, 5, batch_first=True)
        self.head = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0][:, -1])


def _never_first(padding: Tensor) -> Tensor:
    """Leave something to attend to: all padding is NaN."""
    first = torch.arange(padding.shape[1]) == 0
    return padding & ~first


class Attention(nn.Module):
    """nn.MultiheadAttention with a padding mask."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        return self.attention(x, x, x, key_padding_mask=_never_first(padding))[0]


class Encoder(nn.Module):
    """nn.TransformerEncoder, whose fast path is another code than its slow one."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(x)


class EncoderMasked(Encoder):
    """The same with a padding mask."""

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:  # type: ignore[override]
        return self.encoder(x, src_key_padding_mask=_never_first(padding))


class EncoderPadded(nn.Module):
    """The same without nested tensors: the way that every format has."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        return self.encoder(x, src_key_padding_mask=_never_first(padding))


class EncoderPaddedTraced(EncoderMasked):
    """No script has it, and a trace would keep whether padding is at the end."""

    def forward(self, x: Tensor, padding: Tensor, *rest: Tensor) -> Tensor:
        return self.encoder(x, src_key_padding_mask=_never_first(padding))


class EncoderCausal(Encoder):
    """torch looks through the mask whether it is causal."""

    def forward(self, x: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        return self.encoder(x, mask=mask)


class Translator(nn.Module):
    """nn.Transformer: an encoder, and a decoder with a causal mask."""

    def __init__(self) -> None:
        super().__init__()
        self.transformer = nn.Transformer(8, 2, 1, 1, 16, batch_first=True)

    def forward(self, x: Tensor, past: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(past.shape[1])
        return self.transformer(x, past, tgt_mask=mask)


class Causal(nn.Module):
    """scaled_dot_product_attention with its own causal mask."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.layer = nn.LayerNorm(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.norm(x).exp())


class NanWeights(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)
        with torch.no_grad():
            self.fc.weight[1, 2] = torch.nan

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)


class NanAnswers(nn.Module):
    """Finite weights, and no number for half of what the contract allows."""

    def forward(self, x: Tensor) -> Tensor:
        return x.log()


class SameAnswers(nn.Module):
    """A head of zeros: that its files agree proves little, and they say so."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)
        nn.init.zeros_(self.fc.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)


_X = ("x:float32[batch,4]",)
_SEQUENCE = "x:float32[batch,time,8]"
_HEADS = tuple(f"{name}:float32[batch,2,time,8]" for name in "qkv")

STATE = [
    Small(Buffers, ("x:float32[batch,3]",)),
    Small(Counter, _X),
    Small(Remembers, _X, refused="remembers its last call in its buffer last"),
    Small(RemembersAttribute, _X, refused="remembers its last call"),
    Small(InPlace, _X, refused="changes its input x in place"),
    Small(InPlaceUnseen, _X, refused="changes its input x in place"),
    Small(InPlaceInside, _X),
    Small(DropoutOn, _X, refused="random at inference"),
    Small(DropoutKept, _X, refused="drop is in train mode"),
    Small(Noise, _X, refused="random at inference"),
    Small(RareNoise, _X, refused="random at inference"),
    Small(Tied, ("tokens:int64[batch,time] in 0..19",)),
    Small(
        Lstm,
        (
            "tokens:int64[batch,time] in 0..29",
            "hidden:float32[2,batch,5]",
            "cell:float32[2,batch,5]",
        ),
    ),
    Small(Gru, ("x:float32[batch,time,3]",)),
    Small(TimeFirst, ("x:float32[time,batch,3]",)),
    Small(Rnn, ("x:float32[time,batch,3]", "hidden:float32[4,batch,5]")),
    Small(RnnBatchFirst, ("x:float32[batch,time,3]",)),
    Small(Attention, (_SEQUENCE, "padding:bool[batch,time]")),
    Small(Encoder, (_SEQUENCE,)),
    Small(
        EncoderMasked,
        (_SEQUENCE, "padding:bool[batch,time]"),
        onnx="make it with enable_nested_tensor=False",
    ),
    Small(EncoderPadded, (_SEQUENCE, "padding:bool[batch,time]")),
    Small(
        EncoderPaddedTraced,
        (_SEQUENCE, "padding:bool[batch,time]"),
        refused="trace: it decides by the values of its input",
    ),
    Small(EncoderCausal, (_SEQUENCE,), torchscript="trace"),
    Small(Translator, ("x:float32[batch,past,8]", "y:float32[batch,time,8]")),
    Small(Causal, _HEADS),
    Small(Normed, _X),
    Small(NanWeights, _X, refused="parameter fc.weight holds NaN"),
    Small(NanAnswers, _X, refused="holds NaN, of which nothing can be proved"),
    Small(SameAnswers, _X),
]
