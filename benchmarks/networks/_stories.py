"""stories260k: a language model of 260,032 parameters, on sequences sampled from itself."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.networks._files import samples, weights
from benchmarks.networks._llama import Llama, Sizes
from benchmarks.networks._network import Examples, Network, NetworkData

__all__ = ["STORIES260K", "stories260k"]

_NAME = "stories260k"
# Sequences that a compression may look at; the metric is taken over the other 192.
_CALIBRATION = 64
_BATCH = 16


def stories260k() -> nn.Module:
    """The language model with fresh weights: tokens ``(N, T)`` to logits ``(N, T, 512)``, T at most 512."""
    sizes = Sizes(features=64, hidden=172, layers=5, heads=8, key_heads=4, vocabulary=512, context=512)
    return Llama(sizes)


def _read(data_dir: Path | None) -> NetworkData:
    tokens = torch.from_numpy(samples(data_dir, f"{_NAME}_samples")["tokens"].astype("int64"))
    examples = Examples((tokens[:, :-1],), tokens[:, 1:])
    test = Examples((tokens[_CALIBRATION:, :-1],), tokens[_CALIBRATION:, 1:])
    return NetworkData(weights(data_dir, _NAME), examples.first(_CALIBRATION), test)


def _loss(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


@torch.no_grad()
def _evaluate(model: nn.Module, data: NetworkData, count: int | None = None) -> dict[str, float]:
    """Mean loss in nats per token, and how often the likeliest token is that of the dense network."""
    dense = STORIES260K.build(data)
    test = data.test.first(count)
    loss, equal = 0.0, 0
    for inputs, targets in test.batches(_BATCH):
        logits = model(*inputs)
        loss += float(_loss(logits, targets)) * targets.numel()
        equal += int((logits.argmax(-1) == dense(*inputs).argmax(-1)).sum())
    return {"loss": loss / test.targets.numel(), "agreement": equal / test.targets.numel()}


STORIES260K = Network(
    name=_NAME,
    summary="Llama-style language model, 5 layers of 64 features; loss in nats per token",
    source="karpathy/tinyllamas, stories260K (MIT)",
    skeleton=stories260k,
    read=_read,
    loss=_loss,
    evaluate=_evaluate,
    higher_is_better=False,
    left_dense=("output",),  # its weight is that of the embedding
    batch=_BATCH,
)
