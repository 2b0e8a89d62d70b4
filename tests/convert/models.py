"""Networks with something in them that a conversion must respect."""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations


class Conv1D(nn.Module):
    """A linear layer as transformers.pytorch_utils defines it for GPT-2, with the weight the other way round."""

    def __init__(self, nf: int, nx: int) -> None:
        super().__init__()
        self.nf = nf
        self.nx = nx
        self.weight = nn.Parameter(torch.empty(nx, nf))
        self.bias = nn.Parameter(torch.zeros(nf))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        rows = torch.addmm(self.bias, x.view(-1, x.size(-1)), self.weight)
        return rows.view((*x.size()[:-1], self.nf))


class LanguageModel(nn.Module):
    """An embedding tied to the output layer around an encoder layer of torch."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 16)
        self.encoder = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True)
        self.output = nn.Linear(16, 50)
        self.output.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.output(self.encoder(self.embedding(tokens)))


class Unusual(nn.Module):
    """One layer for every reason not to convert it, and one that can be converted."""

    def __init__(self) -> None:
        super().__init__()

        class OwnLinear(nn.Linear):
            pass

        class OwnAttention(nn.MultiheadAttention):
            pass

        self.plain = nn.Linear(8, 8)
        self.subclass = OwnLinear(8, 8)
        self.attention = OwnAttention(8, 2)
        self.parametrised = parametrizations.weight_norm(nn.Linear(8, 8))
        self.lazy = nn.LazyLinear(8)
        self.depthwise = nn.Conv1d(8, 8, 3, groups=8)
        self.sparse = nn.Embedding(9, 4, sparse=True)
        self.padding = nn.Embedding(9, 4, padding_idx=2)
        with torch.no_grad():
            self.padding.weight[2] = 1
        self.narrow = nn.Linear(8, 1)
        self.meta = nn.Linear(8, 8, device="meta")
        self.empty = nn.Linear(8, 0, bias=False)
        self.excluded = nn.Linear(8, 8)


class Reused(nn.Module):
    """One linear layer under two names, and another that shares its weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.again = self.first
        self.tied = nn.Linear(8, 8)
        self.tied.weight = self.first.weight

    def forward(self, inputs: Tensor) -> Tensor:
        return self.tied(torch.tanh(self.again(torch.tanh(self.first(inputs)))))
