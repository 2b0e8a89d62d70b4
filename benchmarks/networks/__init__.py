"""Trained networks to compress, each with its data and its own metric."""

from benchmarks.networks._cifar10 import cifar10_training
from benchmarks.networks._network import Examples, Network, NetworkData
from benchmarks.networks._resnet20 import RESNET20, normalized, resnet20
from benchmarks.networks._stories import STORIES260K, stories260k
from benchmarks.networks._voice_activity import SILERO_VAD_16K, silero_vad_16k
from rankfold._registry import Registry

__all__ = [
    "NETWORKS",
    "Examples",
    "Network",
    "NetworkData",
    "cifar10_training",
    "normalized",
    "resnet20",
    "silero_vad_16k",
    "stories260k",
]

NETWORKS: Registry[Network] = Registry("network", RESNET20, STORIES260K, SILERO_VAD_16K)
