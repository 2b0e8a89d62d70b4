"""Cards of the rank policies."""

from tools.cards._card import Card, Family
from tools.cards._evidence import Evidence, Row

__all__ = ["RANK_POLICIES"]

_TRUNCATED = "One HOSVD per weight."


def _at(evidence: Evidence, policy: str, share: float) -> Row:
    return evidence.row("card_policies", policy=policy, share=share)


def _beside(evidence: Evidence, policy: str, other: str, share: float, words: str) -> str:
    """Accuracies of two policies at the same size; the first must be the lower one."""
    ours, better = _at(evidence, policy, share), _at(evidence, other, share)
    dense = evidence.row("card_policies", policy="dense")
    evidence.claim(ours["accuracy"] + 1 < better["accuracy"], words)
    return (
        f"cut to {100 * share:.0f} % of its parameters without training, a small network for digits that "
        f"was right in {dense['accuracy']:.1f} % is right in {ours['accuracy']:.1f} % with it, and in "
        f"{better['accuracy']:.1f} % with {_NAMES[other]}"
    )


_CALL = "policy = {}  # as text: {}\nprint(rf.factorize(deepcopy(network), policy))"
_NAMES = {
    "budget, calibrated": "a calibrated `Budget`",
    "fixed": "`Fixed`",
}


def _fixed_loses(evidence: Evidence) -> str:
    told = _beside(evidence, "fixed", "budget, calibrated", 0.07, "one rank does not suit all layers")
    return f"One number does not suit layers of different width: {told}."


def _fraction_loses(evidence: Evidence) -> str:
    told = _beside(evidence, "fraction", "fixed", 0.3, "a share hurts narrow layers")
    ours, budget = (
        evidence.row("compress_resnet20", percent=50, side=side)["accuracy"]
        for side in ("tucker", "rankfold")
    )
    evidence.claim(ours < budget - 0.2, "the same share of each layer costs accuracy")
    return (
        f"A share of a narrow layer is very little, and the last layer is narrow: {told}. The same share of "
        f"every layer brings ResNet-20 at half its parameters to {100 * ours:.1f} %, where `compress` keeps "
        f"{100 * budget:.1f} %."
    )


def _energy_loses(evidence: Evidence) -> str:
    told = _beside(evidence, "energy", "budget, calibrated", 0.3, "energy of a weight is not what matters")
    return f"The energy of a weight is not what its inputs make of it, and every layer gets the same: {told}."


def _tolerance_loses(evidence: Evidence) -> str:
    told = _beside(evidence, "tolerance", "budget, calibrated", 0.15, "equal errors do not hurt alike")
    return f"Equal errors of two layers do not hurt alike: {told}."


def _evbmf_loses(evidence: Evidence) -> str:
    ours, budget = _at(evidence, "evbmf", 0.07), _at(evidence, "budget, calibrated", 0.07)
    evidence.claim(
        ours["kept"] > budget["kept"] and ours["accuracy"] < budget["accuracy"] - 1,
        "EVBMF is larger and less accurate",
    )
    return (
        "Trained weights are no low rank plus equal noise, and nothing can be set: it keeps "
        f"{100 * ours['kept']:.1f} % of a small network for digits, which is then right in "
        f"{ours['accuracy']:.1f} %; a calibrated `Budget` is right in {budget['accuracy']:.1f} % with "
        f"{100 * budget['kept']:.1f} %."
    )


def _budget_costs(evidence: Evidence) -> str:
    ours = _at(evidence, "budget", 0.3)["seconds"]
    calibrated = _at(evidence, "budget, calibrated", 0.3)["seconds"]
    return (
        f"{_TRUNCATED} Asking for all ranks of a small network takes {1000 * ours:.0f} ms, with calibration "
        f"{1000 * calibrated:.0f} ms. `latency` and `faster` measure every layer on this machine."
    )


def _budget_loses(evidence: Evidence) -> str:
    alone, calibrated = (
        evidence.row("compress_silero_vad_16k", percent=70, side=side)["correlation"]
        for side in ("rankfold, weights alone", "rankfold")
    )
    evidence.claim(alone < 0.5 < calibrated, "without calibration a voice detector is ruined")
    told = _beside(evidence, "budget", "fixed", 0.07, "a blind budget is worse than one rank for all")
    return (
        "Without calibration data it knows the weights alone, and takes from layers that matter: the "
        f"outputs of a voice detector then correlate with the dense ones by {alone:.2f}, with calibration "
        f"by {calibrated:.3f}. And {told}."
    )


def _latency_costs(evidence: Evidence) -> str:
    ours = _at(evidence, "latency", 0.3)["seconds"]
    return f"It times each layer dense and at a few ranks: {ours:.1f} s for a network of four small layers."


def _latency_loses(evidence: Evidence) -> str:
    ours = _at(evidence, "latency", 0.07)
    evidence.claim(ours["left_dense"] >= 2, "most small layers stay dense")
    return (
        f"It promises time, not size: in a network of four small layers, {ours['left_dense']:.0f} on "
        f"average do not get as much faster as asked for and stay dense, and {100 * ours['kept']:.0f} % of "
        "the parameters remain, whatever was wanted. Other machines, and other days, give other ranks."
    )


def _sensitivity_costs(evidence: Evidence) -> str:
    ours = _at(evidence, "sensitivity", 0.07)
    return (
        f"One evaluation of the loss per weight and rank that is tried: {ours['evaluations']} for four "
        f"layers, {ours['seconds']:.1f} s on a few hundred small images."
    )


def _sensitivity_loses(evidence: Evidence) -> str:
    told = _beside(evidence, "sensitivity", "budget, calibrated", 0.07, "changes do not add up")
    return f"It changes one layer at a time, and what all of them do together is another matter: {told}."


def _quantum_loses(evidence: Evidence) -> str:
    small = [_at(evidence, name, 0.07) for name in ("quantum", "fraction")]
    middle = [_at(evidence, name, 0.15) for name in ("quantum", "fraction")]
    evidence.claim(small[0]["accuracy"] == small[1]["accuracy"], "narrow layers are not rounded")
    evidence.claim(
        middle[0]["kept"] > middle[1]["kept"] and middle[0]["accuracy"] <= middle[1]["accuracy"],
        "rounding keeps more and gains nothing",
    )
    return (
        "Ranks below half a quantum stay what they are, so narrow layers gain nothing: at "
        f"{100 * small[0]['kept']:.1f} % of a small network it is the policy that it rounds, to the last "
        f"parameter. Where it does round it may keep more for nothing: {100 * middle[0]['kept']:.1f} % "
        f"instead of {100 * middle[1]['kept']:.1f} %, for an accuracy of {middle[0]['accuracy']:.1f} % "
        f"instead of {middle[1]['accuracy']:.1f} %."
    )


RANK_POLICIES = Family(
    page="rank_policies",
    title="Rank policies: rules that give ranks",
    introduction=(
        "A rank policy says how to write each weight of a network: along which modes, at which ranks, or "
        "why it stays dense. `rankfold.factorize` and `rankfold.compress` take one; `--policy` of "
        "`rankfold compress` takes its text. The guide to [choosing ranks](../ranks.md) begins from what you know. "
        "Figures below that name a small network for digits are means over a few trained networks, nothing "
        "trained after the cut."
    ),
    preparation="""\
from copy import deepcopy

import torch
import rankfold as rf
from torch import nn

torch.manual_seed(0)
network = nn.Sequential(
    nn.Conv2d(8, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(1024, 10)
)
images, labels = torch.randn(32, 8, 16, 16), torch.randint(0, 10, (32,))""",
    cards=(
        Card(
            name="fixed",
            what="Gives every layer and mode the same rank. Where a shape does not allow it, the largest that it does.",
            when="You know the rank, or want the simplest control.",
            call=_CALL.format("rf.Fixed(8)", "fixed=8; a plain 8 will do"),
            costs=lambda evidence: _TRUNCATED,
            paper="none",
            loses_where="where layers have different widths",
            loses=_fixed_loses,
        ),
        Card(
            name="fraction",
            what="Gives every mode a share of its full rank. It looks at shapes alone.",
            when=(
                "You train from scratch: start high (0.5 to 1), and let `TDLRT` lower the ranks. Nothing "
                "needs to be known."
            ),
            call=_CALL.format("rf.Fraction(0.5)", "fraction=0.5"),
            costs=lambda evidence: _TRUNCATED,
            paper="none",
            loses_where="on trained networks",
            loses=_fraction_loses,
        ),
        Card(
            name="energy",
            what=(
                "Takes the smallest ranks that keep a share of the squared norm of each weight. It is "
                "`Tolerance` in other words: `Energy(1 - t ** 2)` is `Tolerance(t)`."
            ),
            when="You think in explained variance, and every layer matters alike.",
            call=_CALL.format("rf.Energy(0.9)", "energy=0.9"),
            costs=lambda evidence: _TRUNCATED,
            paper="none",
            loses_where="where layers do not matter alike",
            loses=_energy_loses,
        ),
        Card(
            name="tolerance",
            what=(
                "Takes the ranks with the fewest parameters at which each weight changes by at most a "
                "share of its norm, all modes together. A weight for which they save nothing stays dense."
            ),
            when="You want a bound on how much any weight changes.",
            call=_CALL.format("rf.Tolerance(0.3)", "tolerance=0.3"),
            costs=lambda evidence: _TRUNCATED,
            paper="none; the error is read off the core of the HOSVD (De Lathauwer, De Moor and Vandewalle 2000)",
            loses_where="where equal errors do not hurt alike",
            loses=_tolerance_loses,
        ),
        Card(
            name="evbmf",
            what=(
                "Takes each weight, unfolded, for a matrix of low rank plus noise that is equal in all "
                "entries, and keeps what stands out of the noise. There is no number to choose."
            ),
            when="You know nothing, and want a first idea of the ranks.",
            call=_CALL.format("rf.EVBMF()", "evbmf"),
            costs=lambda evidence: f"{_TRUNCATED} The rest is a formula.",
            paper=(
                "Nakajima, Sugiyama, Babacan and Tomioka 2013, 'Global analytic solution of fully-observed "
                "variational Bayesian matrix factorization'"
            ),
            loses_where="where a size or an accuracy is wanted",
            loses=_evbmf_loses,
        ),
        Card(
            name="budget",
            what=(
                "Spends one budget of parameters, multiply-adds or time of the whole network where it "
                "reduces the error most. With calibration data the error is what the change of a weight "
                "does to the loss."
            ),
            when="You know how large or fast the network may be, and a few hundred inputs are at hand for `compress`.",
            call="""\
policy = rf.Budget(params=0.2)  # as text: budget params=0.2
print(rf.compress(deepcopy(network), policy, calibration=[images]))""",
            costs=_budget_costs,
            paper=(
                "Everett 1963, 'Generalized Lagrange multiplier method for solving problems of optimum "
                "allocation of resources'"
            ),
            loses_where="without calibration data",
            loses=_budget_loses,
        ),
        Card(
            name="latency",
            what=(
                "Measures each layer on your machine, and takes the largest rank at which it is as fast as "
                "asked for. A layer that has none stays dense, and the table says why."
            ),
            when="A layer must not get slower, and accuracy is to suffer least.",
            call=_CALL.format("rf.Latency(example_inputs=images, speedup=1.2)", "latency speedup=1.2"),
            costs=_latency_costs,
            paper="none",
            loses_where="on small layers, and where a size is wanted",
            loses=_latency_loses,
        ),
        Card(
            name="Sensitivity",
            what=(
                "Measures what the ranks of each layer do to a loss, one layer at a time, and spends a "
                "budget of parameters by that. The loss is any function of the model."
            ),
            when="What matters is no differentiable loss, so that `Budget` cannot be calibrated with it.",
            call="""\
def loss(model):
    return nn.functional.cross_entropy(model(images), labels)


print(rf.factorize(deepcopy(network), rf.Sensitivity(loss, params=0.4, levels=4)))""",
            costs=_sensitivity_costs,
            paper="none",
            loses_where="where many layers change at once",
            loses=_sensitivity_loses,
        ),
        Card(
            name="Quantum",
            what=(
                "Moves the ranks of another rule to a multiple of a quantum where one is near. Kernels "
                "work on blocks of 16 channels, so rank 17 costs as much as 32."
            ),
            when="Time matters on wide layers, or compiled graphs are to be few (`TDLRT(rank_quantum=16)`).",
            call="print(rf.factorize(deepcopy(network), rf.Quantum(0.45)))",
            costs=lambda evidence: "Nothing beyond the rule that it rounds.",
            paper="none",
            loses_where="on narrow layers",
            loses=_quantum_loses,
        ),
    ),
    remarks="Your own policy is a class with one method: see [the guide](../extend/rank_policy.md).",
)
