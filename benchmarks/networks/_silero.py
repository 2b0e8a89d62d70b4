"""The recurrent voice activity network as plain modules: every weight is that of an nn.Conv1d or nn.Linear."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["CHUNK", "HIDDEN", "OVERLAP", "VoiceActivity"]

CHUNK = 512  # new samples in one step, at 16 kHz
OVERLAP = 64  # old samples before them
HIDDEN = 128
_BINS = 129  # frequencies of a window of 256 samples


class VoiceActivity(nn.Module):
    """One step: samples and state to the probability of speech and the next state.

    Reference:
        github.com/snakers4/silero-vad, version 5 at 16 kHz; layers are named as in the published weights.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 2 * _BINS, 256, stride=128, bias=False)
        # A fixed transform; the root of its powers has no gradient in silence.
        self.stft_conv.requires_grad_(False)
        self.conv1 = nn.Conv1d(_BINS, 128, 3, padding=1)
        self.conv2 = nn.Conv1d(128, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(64, 64, 3, stride=2, padding=1)
        self.conv4 = nn.Conv1d(64, 128, 3, padding=1)
        self.lstm_cell = _LSTMCell(HIDDEN)
        self.final_conv = nn.Conv1d(HIDDEN, 1, 1)

    def forward(self, samples: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Take one step of independent streams.

        Arguments:
            samples: ``(N, 576)`` in [-1, 1), 64 old and 512 new ones.
            hidden: ``(N, 128)``, zeros at the start of a stream.
            cell: as ``hidden``.

        Returns:
            Probabilities ``(N,)``, and the next ``hidden`` and ``cell``.
        """
        padded = F.pad(samples.unsqueeze(1), (0, OVERLAP), mode="reflect")
        real, imaginary = self.stft_conv(padded).split(_BINS, 1)
        features = torch.sqrt(real.square() + imaginary.square())
        for convolution in (self.conv1, self.conv2, self.conv3, self.conv4):
            features = F.relu(convolution(features))
        hidden, cell = self.lstm_cell(features.squeeze(2), hidden, cell)
        logits = self.final_conv(F.relu(hidden).unsqueeze(2))
        return torch.sigmoid(logits).flatten(), hidden, cell


class _LSTMCell(nn.Module):
    """nn.LSTMCell from two linear layers, which can be compressed.

    Reference:
        Hochreiter, Schmidhuber 1997, "Long short-term memory"; the order of the gates is that of PyTorch.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.ih = nn.Linear(features, 4 * features)
        self.hh = nn.Linear(features, 4 * features)
        self.register_load_state_dict_pre_hook(_rename)

    def forward(self, inputs: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        enter, forget, value, leave = (self.ih(inputs) + self.hh(hidden)).chunk(4, 1)
        cell = torch.sigmoid(forget) * cell + torch.sigmoid(enter) * torch.tanh(value)
        return torch.sigmoid(leave) * torch.tanh(cell), cell


def _rename(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    """Take the names of nn.LSTMCell too."""
    for part in ("weight", "bias"):
        for side in ("ih", "hh"):
            old = f"{prefix}{part}_{side}"
            if old in state:
                state[f"{prefix}{side}.{part}"] = state.pop(old)
