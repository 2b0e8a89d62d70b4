"""Cards of compression."""

from tools.cards._card import Card, Family
from tools.cards._evidence import Evidence

__all__ = ["COMPRESSION"]


def _resnet(evidence: Evidence, side: str, percent: int = 50) -> dict:
    return dict(evidence.row("compress_resnet20", percent=percent, side=side))


def _compress_costs(evidence: Evidence) -> str:
    seconds = {side: _resnet(evidence, side)["seconds"] for side in ("rankfold", "rankfold, one pass")}
    return (
        f"ResNet-20 with a thousand calibration images takes {seconds['rankfold']:.0f} s on one thread, "
        f"with `refit=False` {seconds['rankfold, one pass']:.0f} s. Products of all inputs of a layer are "
        "kept while it runs."
    )


def _compress_loses(evidence: Evidence) -> str:
    ours, peer, faster = (
        _resnet(evidence, side) for side in ("rankfold", "tensorly-torch cp", "rankfold, faster")
    )
    evidence.claim(peer["accuracy"] > ours["accuracy"], "CP by TensorLy-Torch is more accurate at half")
    evidence.claim(ours["speedup_batch_128"] < 1, "large batches get slower")
    return (
        "At half the parameters of ResNet-20 the CP form of TensorLy-Torch is right in "
        f"{100 * peer['accuracy']:.1f} % of the test images, `compress` in {100 * ours['accuracy']:.1f} %. "
        "And fewer parameters are not less time: at the largest batch the network runs "
        f"{ours['speedup_batch_128']:.2f} times as fast as dense (that CP form "
        f"{peer['speedup_batch_128']:.2f} times), unless you ask for it with `faster=True` "
        f"({faster['speedup_batch_128']:.2f} times)."
    )


def _tuning_costs(evidence: Evidence) -> str:
    row = evidence.row("compress_finetune_50")
    return (
        f"A training at low rank: {row['epochs']} epochs of ResNet-20 on CIFAR-10 take {row['seconds']:.0f} "
        "s on one thread."
    )


def _tuning_loses(evidence: Evidence) -> str:
    half, third = evidence.row("compress_finetune_50"), evidence.row("compress_finetune_30")
    gain = half["accuracy"] - half["accuracy_before"]
    evidence.claim(gain < 0.01 < third["accuracy"] - third["accuracy_before"], "it gains little at half")
    return (
        f"Where compression has cost little it gains little: at {half['percent']} % of ResNet-20 the "
        f"accuracy rises by {100 * gain:.1f} points, to {100 * half['accuracy']:.1f} %, for "
        f"{half['seconds'] / 60:.0f} minutes of training; at {third['percent']} % by "
        f"{100 * (third['accuracy'] - third['accuracy_before']):.1f} points. Both stay below what the "
        "benchmark set as its goal."
    )


COMPRESSION = Family(
    page="compression",
    title="Compression: a trained network made smaller",
    introduction=(
        "`rankfold.compress` takes a trained network, a [rank policy](rank_policies.md) and a few hundred "
        "inputs, and leaves plain `nn` layers. The [guide](../compress.md) goes through a whole example; "
        "[performance.md](../performance.md) has all figures."
    ),
    preparation="""\
import torch
import rankfold as rf
from torch import nn


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))


x, y = torch.randn(300, 64), torch.randint(0, 10, (300,))
batches = list(zip(x.split(50), y.split(50)))""",
    cards=(
        Card(
            name="compress",
            what=(
                "Chooses ranks for all layers together by what their errors do to the outputs on "
                "calibration data, and fits each layer to the inputs that the compressed layers before it "
                "give. The result folds into plain layers."
            ),
            when="A network is trained and too large. A few hundred inputs will do, and no labels are needed.",
            call="print(rf.compress(network(), rf.Budget(params=0.3), calibration=batches))",
            costs=_compress_costs,
            paper=(
                "weighing errors by the inputs as in Yuan et al. 2023 (ASVD) and Wang et al. 2024 "
                "(SVD-LLM), by the outputs as in Martens and Grosse 2015 (K-FAC)"
            ),
            loses_where="beside CP forms, if these may be slow; in time, on large batches",
            loses=_compress_loses,
        ),
        Card(
            name="FineTuning",
            what=(
                "Trains the compressed network on at its ranks, by `TDLRT` with fixed ranks, towards "
                "labels, the outputs of the dense network (distillation), or both. It is an argument of "
                "`compress`."
            ),
            when="Accuracy was lost, and there are data and time to train.",
            call=(
                "tuning = rf.FineTuning(batches=batches, epochs=2, lr=0.01)\n"
                "print(rf.compress(network(), rf.Budget(params=0.3), calibration=batches, finetune=tuning))"
            ),
            costs=_tuning_costs,
            paper=(
                "Hinton, Vinyals and Dean 2015, 'Distilling the knowledge in a neural network'; the "
                "integrator is [fixed](integrators.md#fixed)"
            ),
            loses_where="where compression has cost little",
            loses=_tuning_loses,
        ),
    ),
)
