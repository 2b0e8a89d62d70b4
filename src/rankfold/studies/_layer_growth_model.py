"""A small transformer of characters, and text that every Python brings along.

Axes: N sequences, T characters, D width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rankfold.studies._records import Unavailable

__all__ = ["CHARACTERS", "OUTPUTS", "Block", "CharacterModel", "python_topics"]

CHARACTERS = 96  # printable ASCII and the line feed
OUTPUTS = ("output", "down")  # the layers of a block that write to the residual stream


class Block(nn.Module):
    """Causal attention and a perceptron, each after a norm and added to what came in; no biases.

    Arguments:
        width: D.
        heads: divides D.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_perceptron = nn.RMSNorm(width), nn.RMSNorm(width)
        self.query, self.key, self.value, self.output = (
            nn.Linear(width, width, bias=False) for _ in range(4)
        )
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, x_NTD: Tensor) -> Tensor:
        """Map ``(N, T, D)`` to itself."""
        inner = self.before_attention(x_NTD)
        query, key, value = (
            layer(inner).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        attended = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x_NTD = x_NTD + self.output(attended.transpose(1, 2).flatten(2))
        return x_NTD + self.down(F.gelu(self.up(self.before_perceptron(x_NTD))))


class CharacterModel(nn.Module):
    """Embeddings of characters and places, blocks, and logits of the next character.

    Arguments:
        layers: number of blocks.
        width, heads: of each.
        context: largest number of characters.
    """

    def __init__(self, layers: int, width: int, heads: int, context: int) -> None:
        super().__init__()
        self.characters, self.places = nn.Embedding(CHARACTERS, width), nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm, self.head = nn.RMSNorm(width), nn.Linear(width, CHARACTERS, bias=False)
        for embedding in (self.characters, self.places):
            nn.init.normal_(embedding.weight, std=0.02)

    def forward(self, text_NT: Tensor) -> Tensor:
        """Numbers of characters ``(N, T)`` to logits ``(N, T, 96)``."""
        x_NTD = self.characters(text_NT) + self.places.weight[: text_NT.shape[1]]
        for block in self.blocks:
            x_NTD = block(x_NTD)
        return self.head(self.norm(x_NTD))


def python_topics() -> Tensor:
    """The texts of Python's ``help()`` on keywords and topics, some 700,000 characters of English and code.

    Returns:
        Numbers of characters, int64: 0 for a line feed and for what is not ASCII, 1..95 for the printable ones.

    Raises:
        Unavailable: a Python without them.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise Unavailable(
            "layer-growth: this Python has no pydoc_data.topics, the text that is learnt; install the whole standard "
            "library."
        ) from None
    text = "\n".join(topics[name] for name in sorted(topics))
    codes = torch.frombuffer(bytearray(text.encode("ascii", "replace")), dtype=torch.uint8).long() - 31
    return codes.where((codes > 0) & (codes < CHARACTERS), 0)
