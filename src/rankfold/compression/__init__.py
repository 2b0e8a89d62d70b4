"""Floor 4: trained models made smaller by their weights, their data and a rank policy."""

from rankfold.compression._compress import compress
from rankfold.compression._compression import CompressedLayer, Compression
from rankfold.compression._finetune import FineTuning

__all__ = ["CompressedLayer", "Compression", "FineTuning", "compress"]
