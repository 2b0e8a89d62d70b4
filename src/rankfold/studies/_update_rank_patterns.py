"""Sequences of patterns, two of which decide the label, and the one-layer transformer that learns them.

Axes: N sequences, T tokens, D dimensions, H neurons.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rankfold._errors import NonFiniteError
from rankfold.diagnostics import UpdateRank
from rankfold.studies._records import Case, Record
from rankfold.studies._update_rank_cut import with_cut_updates

__all__ = ["ATTENTION", "SHARES", "PatternNet", "draw_sequences", "train_on_patterns"]

# Sizes and rates: choices of ours, of the orders that the theory asks for.
_DIMENSIONS, _PATTERNS, _NEURONS = 30, 10, 200
_TOKENS, _RELEVANT, _CONFUSING = 20, 6, 2
_START, _OUTPUT_START = (
    0.2,
    0.03,
)  # W_Q, W_K and W_V begin as 0.2 I, W_O with normal numbers of this deviation
_RATE, _BATCH = 0.1, 64
_MEMORISED = 256  # sequences whose labels are drawn at random
_TESTED = 2000
ATTENTION = ("query", "key", "value")
SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)  # of the neurons that are pruned


class PatternNet(nn.Module):
    """``F(X) = mean_t a^T ReLU(W_O W_V X softmax((W_K X)^T W_Q x_t))`` with fixed a of two values."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(_DIMENSIONS, _DIMENSIONS, bias=False) for _ in range(3))
        self.output = nn.Linear(_DIMENSIONS, _NEURONS, bias=False)
        with torch.no_grad():
            for layer in (self.query, self.key, self.value):
                layer.weight.copy_(_START * torch.eye(_DIMENSIONS))
            self.output.weight.normal_(0, _OUTPUT_START, generator=generator)
        signs = torch.ones(_NEURONS)
        signs[_NEURONS // 2 :] = -1
        self.register_buffer("readout", signs / _NEURONS**0.5)

    def forward(self, x_NTD: Tensor) -> Tensor:
        """One number per sequence, whose sign is the label."""
        attention_NTT = torch.softmax(self.query(x_NTD) @ self.key(x_NTD).mT, -1)
        neurons_NTH = torch.relu(self.output(attention_NTT @ self.value(x_NTD)))
        return (neurons_NTH @ self.get_buffer("readout")).mean(1)


def draw_sequences(
    patterns: Tensor, count: int, noise: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Sequences with 6 tokens of the pattern of their label, 2 of that of the other label, the rest of neither.

    Arguments:
        patterns: ``(M, D)`` with orthonormal rows, the first two those that decide.
        count: N.
        noise: deviation of the normal numbers added to every entry.
        generator: source.

    Returns:
        ``(N, T, D)`` and labels -1 or 1.
    """
    label = torch.randint(0, 2, (count, 1), generator=generator)
    chosen = torch.randint(2, len(patterns), (count, _TOKENS), generator=generator)
    chosen[:, :_RELEVANT] = label
    chosen[:, _RELEVANT : _RELEVANT + _CONFUSING] = 1 - label
    x = patterns[chosen]
    return x + noise * torch.randn(x.shape, generator=generator), (2 * label[:, 0] - 1).float()


def train_on_patterns(case: Case) -> Record:
    """Train the transformer by plain descent on the hinge loss; measure what changed, and what can be left out.

    Arguments:
        case: noise, steps, seed, and whether labels are those of the patterns or drawn at random, in which case 256
            sequences are trained on and tested again.

    Returns:
        For each matrix the share of its update in the two largest singular values, its stable rank and how far the two
        right singular vectors lie in the span of the two patterns; test errors as it is, with updates of rank 1 and 2,
        and with the smallest and largest neurons pruned.
    """
    generator = torch.Generator().manual_seed(case["seed"])
    patterns = torch.linalg.qr(torch.randn(_DIMENSIONS, _DIMENSIONS, generator=generator))[0][:_PATTERNS]
    model, known = PatternNet(generator), case["labels"] == "pattern"
    update, start = UpdateRank(model), {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=_RATE)
    fixed = None if known else _memorised(patterns, case["noise"], generator)
    for _ in range(case["steps"]):
        if fixed is None:
            x, y = draw_sequences(patterns, _BATCH, case["noise"], generator)
        else:
            rows = torch.randint(0, _MEMORISED, (_BATCH,), generator=generator)
            x, y = fixed[0][rows], fixed[1][rows]
        loss = F.relu(1 - y * model(x)).mean()
        if not bool(loss.isfinite()):
            raise NonFiniteError("update-rank: the loss is not finite; lower the noise.")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    x, y = fixed or draw_sequences(patterns, _TESTED, case["noise"], generator)
    spectra = {one.name: one for one in update.spectra()}
    return {
        "energy": {name: one.energy(2) for name, one in spectra.items()},
        "stable rank": {name: one.stable_rank for name, one in spectra.items()},
        "alignment": {
            name: _alignment(model.get_parameter(f"{name}.weight") - start[f"{name}.weight"], patterns[:2])
            for name in spectra
        },
        "error": _error(model, x, y),
        "truncated": {
            str(rank): _error(with_cut_updates(model, start, dict.fromkeys(ATTENTION, rank)), x, y)
            for rank in (1, 2)
        },
        "pruned small": [_pruned_error(model, share, x, y, largest=False) for share in SHARES],
        "pruned large": [_pruned_error(model, share, x, y, largest=True) for share in SHARES],
    }


def _memorised(patterns: Tensor, noise: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    x, _ = draw_sequences(patterns, _MEMORISED, noise, generator)
    return x, (2 * torch.randint(0, 2, (_MEMORISED,), generator=generator) - 1).float()


def _alignment(change: Tensor, patterns: Tensor) -> float:
    """Mean squared cosine of the two leading right singular vectors with the span of the patterns."""
    right = torch.linalg.svd(change.detach(), full_matrices=False)[2][:2]
    return float((right @ patterns.mT).square().sum() / 2)


@torch.no_grad()
def _error(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Share of sequences whose sign is wrong; an output of zero is wrong."""
    return float((model(x) * y <= 0).double().mean())


@torch.no_grad()
def _pruned_error(model: PatternNet, share: float, x: Tensor, y: Tensor, *, largest: bool) -> float:
    """The error without a share of the neurons, by the norm of their row of W_O; the model is left as it was."""
    weight = model.output.weight
    trained = weight.clone()
    order = torch.linalg.vector_norm(weight, dim=1).argsort(descending=largest)
    weight[order[: int(share * _NEURONS)]] = 0
    error = _error(model, x, y)
    weight.copy_(trained)
    return error
