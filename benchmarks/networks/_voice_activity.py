"""silero_vad_16k: voice activity detection on 20 seconds of speech, against the dense network's own answer."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.networks._files import samples, weights
from benchmarks.networks._network import Examples, Network, NetworkData
from benchmarks.networks._silero import CHUNK, HIDDEN, OVERLAP, VoiceActivity

__all__ = ["SILERO_VAD_16K", "silero_vad_16k"]

_NAME = "silero_vad_16k"
_FULL_SCALE = 32768  # of 16-bit samples
# Of the 625 steps a compression may look at the first 256; the metric is taken over the others.
_CALIBRATION = 256


def silero_vad_16k() -> nn.Module:
    """The network with fresh weights: samples ``(N, 576)`` and two states ``(N, 128)`` to the same and ``(N,)``."""
    return VoiceActivity()


def _read(data_dir: Path | None) -> NetworkData:
    file, state = samples(data_dir, "silero_speech_20s"), weights(data_dir, _NAME)
    audio = torch.from_numpy(file["audio"].astype("float32")) / _FULL_SCALE
    steps = F.pad(audio, (OVERLAP, 0)).unfold(0, OVERLAP + CHUNK, CHUNK)
    probabilities = torch.from_numpy(file["prob"])
    model = silero_vad_16k()
    model.load_state_dict(state)
    _, *states = _stream(model.eval(), steps)
    calibration = Examples((steps, *states), (probabilities >= 0.5).float()).first(_CALIBRATION)
    return NetworkData(state, calibration, Examples((steps,), probabilities))


@torch.no_grad()
def _stream(model: nn.Module, steps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Run a stream from the zero state.

    Returns:
        Probabilities ``(T,)``, and the states ``(T, 128)`` before every step.
    """
    hidden = cell = torch.zeros(1, HIDDEN)
    found = []
    for step in steps:
        probability, *after = model(step.unsqueeze(0), hidden, cell)
        found.append((probability, hidden, cell))
        hidden, cell = after
    probabilities, hiddens, cells = (torch.cat(part) for part in zip(*found, strict=True))
    return probabilities, hiddens, cells


def _loss(outputs: tuple[Tensor, Tensor, Tensor], targets: Tensor) -> Tensor:
    return F.binary_cross_entropy(outputs[0], targets)


def _evaluate(model: nn.Module, data: NetworkData, count: int | None = None) -> dict[str, float]:
    """Correlation with the dense network's probabilities, and the share of equal decisions at one half.

    The stream runs from its beginning, for the state; steps that calibration saw do not count.
    """
    end = None if count is None else _CALIBRATION + count
    test = data.test.first(end)
    found = _stream(model, *test.inputs)[0][_CALIBRATION:]
    wanted = test.targets[_CALIBRATION:]
    correlation = torch.corrcoef(torch.stack((found, wanted)))[0, 1]
    equal = ((found >= 0.5) == (wanted >= 0.5)).double().mean()
    return {"correlation": float(correlation), "equal_decisions": float(equal)}


SILERO_VAD_16K = Network(
    name=_NAME,
    summary="voice activity detection, convolutions and an LSTM cell; correlation with the dense network",
    source="snakers4/silero-vad, version 5 (MIT)",
    skeleton=silero_vad_16k,
    read=_read,
    loss=_loss,
    evaluate=_evaluate,
    higher_is_better=True,
    left_dense=("stft_conv", "final_conv"),  # a fixed transform, and one output
    batch=64,
)
