"""Cards of the integrators."""

from rankfold.training import INTEGRATORS as REGISTRY
from tools.cards._card import Card, Family
from tools.cards._evidence import Evidence

__all__ = ["INTEGRATORS"]

_WIDE = "VGG f=1/2"


def _step(evidence: Evidence, network: str, side: str) -> float:
    return evidence.row("step", network=network, side=side)["x_dense"]


def _augmented_costs(evidence: Evidence) -> str:
    eighth, quarter = (_step(evidence, f"VGG f={share}", "TDLRT") for share in ("1/8", "1/4"))
    spread = _step(evidence, _WIDE, "TDLRT every 10th step")
    return (
        f"With `core_steps=1` a step of a VGG at an eighth of the full ranks takes {eighth:.2f} of the "
        f"dense step, at a quarter {quarter:.2f}. At half `basis_every` brings it to {spread:.2f}. Bases "
        "are up to twice as wide between basis step and truncation, and so are the core's gradients."
    )


def _augmented_loses(evidence: Evidence) -> str:
    exact, fixed = _step(evidence, _WIDE, "TDLRT"), _step(evidence, _WIDE, "fixed rank")
    slow = evidence.row("card_integrators", integrator="augmented", start_rank=2, rate=0.004)
    high = evidence.row("card_integrators", integrator="augmented", start_rank=2, rate=0.1)
    evidence.claim(exact > 1 and fixed < 0.6, "no gain at half the full rank")
    evidence.claim(slow["distance"] > 0.5 and high["distance"] < 1e-6, "ranks do not grow at small rates")
    return (
        f"At half the full ranks its exact step takes {exact:.2f} of the dense step, where the same layers "
        f"at fixed ranks take {fixed:.2f}. And a new direction must exceed the tolerance before it counts: "
        f"from a rank that is too low, at a learning rate of {slow['rate']:g} instead of {high['rate']:g}, "
        f"the rank stays at {slow['ranks']} and the weight {100 * slow['distance']:.0f} % away from the one "
        "to learn."
    )


def _parallel_costs(evidence: Evidence) -> str:
    shares = ", ".join(
        f"{_step(evidence, f'VGG f={share}', 'TDLRT single gradient'):.2f} at {words}"
        for share, words in (("1/8", "an eighth"), ("1/4", "a quarter"), ("1/2", "half"))
    )
    return f"One gradient for bases and core; a step of a VGG takes, of the dense step, {shares} of the full ranks."


def _parallel_loses(evidence: Evidence) -> str:
    ratio = evidence.check("integrator-guarantees", "11 loss")
    smaller = evidence.check("rank-evolution", "matched tolerance")
    evidence.claim(ratio > 2 and smaller > 1, "parallel wants a smaller tolerance")
    return (
        "At the same tolerance it cuts what `augmented` keeps: on a quadratic loss it ends with "
        f"{ratio:.1f} times the loss of `augmented`. For equal ranks it needs, in the median, a tolerance "
        f"{smaller:.1f} times smaller."
    )


def _fixed_costs(evidence: Evidence) -> str:
    shares = ", ".join(
        f"{_step(evidence, f'VGG f={share}', 'fixed rank'):.2f} at {words}"
        for share, words in (("1/8", "an eighth"), ("1/4", "a quarter"), ("1/2", "half"))
    )
    return (
        "One QR per basis and step, and no wider bases. Layers at fixed ranks under plain SGD, which is "
        f"what remains without the basis step, take {shares} of the full ranks, of a VGG's dense step."
    )


def _fixed_loses(evidence: Evidence) -> str:
    fixed, augmented = (
        evidence.row("card_integrators", integrator=name, start_rank=2, rate=0.1)
        for name in ("fixed", "augmented")
    )
    evidence.claim(fixed["distance"] > 0.5 and augmented["distance"] < 1e-6, "a rank that is too low stays")
    return (
        f"A wrong rank stays wrong: from rank {fixed['start_rank']} it ends {100 * fixed['distance']:.0f} % "
        f"away from a weight of rank {augmented['ranks']} that `augmented` reaches to "
        f"{augmented['distance']:.0e}."
    )


INTEGRATORS = Family(
    page="integrators",
    title="Integrators: how one training step moves",
    introduction=(
        "A factorised layer holds its weight as thin bases around a small core. Plain gradient descent on "
        "these parts is slow and fragile, for the same weight can be written in many ways. An integrator "
        "moves the *weight* along the gradient instead and keeps its bases orthonormal. `TDLRT(..., "
        "integrator=NAME)` chooses one; `--integrator` of `rankfold train` does so on the command line."
    ),
    preparation="""\
import torch
import rankfold as rf
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
rf.factorize(model, rank=0.5, rescale=True)
x, y = torch.randn(256, 64), torch.randint(0, 10, (256,))


def train(optimizer, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    optimizer.truncate()""",
    cards=(
        Card(
            name="augmented",
            what=(
                "Widens every basis by the directions of its gradient, trains the core in the wider bases, "
                "and cuts back to the tolerance. So ranks grow where the gradient asks for it and shrink "
                "where they are not used, however small the singular values are."
            ),
            when=(
                "The default: whenever you do not know the rank. With `core_steps=1` one backward pass "
                "does the whole step; with more, new directions get time to grow."
            ),
            call="train(rf.TDLRT(model, torch.optim.SGD, lr=0.05, tolerance=0.1), steps=22)",
            costs=_augmented_costs,
            paper=REGISTRY["augmented"].source,
            loses_where="near half the full rank and above; at small learning rates from a rank that is too low",
            loses=_augmented_loses,
        ),
        Card(
            name="parallel",
            what=(
                "Takes bases and core from one gradient: the step is Riemannian gradient descent, followed "
                "by a cut to the tolerance. Ranks grow and shrink as with `augmented`, from less "
                "information about the core."
            ),
            when="Steps must be cheap, ranks are to adapt, and you can afford a smaller tolerance.",
            call="""\
options = {"integrator": "parallel", "tolerance": 0.04, "core_steps": 1}
train(rf.TDLRT(model, torch.optim.SGD, lr=0.05, **options), steps=20)""",
            costs=_parallel_costs,
            paper=REGISTRY["parallel"].source,
            loses_where="at the tolerance that suits `augmented`",
            loses=_parallel_loses,
        ),
        Card(
            name="fixed",
            what=(
                "Turns every basis by a gradient step and trains the core there; ranks stay as they are. "
                "Small singular values do not slow it down either."
            ),
            when="The rank is known, as after `rankfold.compress`, and the network is trained on at its ranks.",
            call='train(rf.TDLRT(model, torch.optim.SGD, lr=0.05, integrator="fixed"), steps=22)',
            costs=_fixed_costs,
            paper=REGISTRY["fixed"].source,
            loses_where="where the rank it is given is too low",
            loses=_fixed_loses,
        ),
    ),
    remarks="Your own integrator is a record of the same kind: see [the guide](../extend/integrator.md).",
)
