"""Cards of orthogonal over-parameterised training."""

from tools.cards._card import Card, Family, Sentence
from tools.cards._evidence import Evidence

__all__ = ["ORTHOGONAL"]

_STUDY = "orthogonal-training"
_RATES = (0.02, 0.1, 0.5)
_LIU = "Liu et al. 2021, 'Orthogonal over-parameterized training'"


def _best_rate(evidence: Evidence, method: str) -> float:
    """The learning rate of a method that does best on held-out images."""
    return max(
        _RATES,
        key=lambda rate: evidence.average(_STUDY, "held out", part="training", method=method, rate=rate),
    )


def _test(evidence: Evidence, method: str, rate: float | None = None) -> float:
    """Mean test accuracy in per cent, at the best rate unless one is given."""
    chosen = _best_rate(evidence, method) if rate is None else rate
    return 100 * evidence.average(_STUDY, "test", part="training", method=method, rate=chosen)


def _times_plain(evidence: Evidence, name: str, width: int = 256) -> float:
    return evidence.row("card_orthogonal", map=name, width=width)["x_plain"]


def _costs(name: str, words: str) -> Sentence:
    """What a map costs: in words, and by the time of the plain layer."""

    def sentence(evidence: Evidence) -> str:
        wide = max(row["width"] for row in evidence.rows("card_orthogonal"))
        return (
            f"{words} A training pass of a linear layer of width {wide} takes "
            f"{_times_plain(evidence, name):.0f} times that of the plain layer; after `merge_orthogonal` "
            "nothing of it is left."
        )

    return sentence


def _cayley_loses(evidence: Evidence) -> str:
    high = max(_RATES)
    ours, plain = (_test(evidence, method, high) for method in ("cayley", "sgd"))
    evidence.claim(
        ours < plain and _test(evidence, "cayley") > _test(evidence, "sgd"), "Cayley at a high rate"
    )
    return (
        f"It wants a smaller learning rate than plain training: at {high:g}, the largest of the study, it "
        f"is right in {ours:.1f} % of the test digits and plain SGD in {plain:.1f} %; each at its best "
        f"rate, it is ahead by {_test(evidence, 'cayley') - _test(evidence, 'sgd'):.1f} points."
    )


def _gram_schmidt_loses(evidence: Evidence) -> str:
    ours, qr = (_times_plain(evidence, name) for name in ("gram_schmidt", "householder"))
    evidence.claim(ours > 2 * qr, "Gram-Schmidt is slow")
    return (
        f"It goes row by row: {ours:.0f} times the time of the plain layer, where `householder` gets an "
        f"orthogonal matrix in the same way with {qr:.0f} times."
    )


def _householder_loses(evidence: Evidence) -> str:
    ours, cayley = (_test(evidence, method) for method in ("householder", "cayley"))
    evidence.claim(ours < cayley, "Householder tests worse than Cayley")
    return (
        f"It turns by reflections as well as by rotations, and tests no better for it: {ours:.1f} % of the "
        f"digits, `cayley` {cayley:.1f} %, each at its best learning rate."
    )


def _loewdin_loses(evidence: Evidence) -> str:
    ours, cayley = (_times_plain(evidence, name) for name in ("loewdin", "cayley"))
    evidence.claim(ours > cayley, "an SVD costs more than a solve")
    return (
        f"An SVD in every pass: {ours:.0f} times the time of the plain layer, `cayley` {cayley:.0f} times. "
        "And a free matrix that becomes singular has no nearest orthogonal one, which stops the training "
        "with an error."
    )


def _direct_loses(evidence: Evidence) -> str:
    drift = max(
        defect
        for record in evidence.records(_STUDY, part="drift", iterations=2)
        for defect in record["defect"]
    )
    exact = max(
        defect
        for record in evidence.records(_STUDY, part="drift", iterations=5)
        for defect in record["defect"]
    )
    ours, plain = (_test(evidence, method) for method in ("descent", "sgd"))
    evidence.claim(drift > 100 * exact and ours < plain, "two iterations drift, and test no better than SGD")
    return (
        f"With the two iterations of the paper `OrthogonalDescent` drifts off by {drift:.0e} in a few "
        f"hundred steps (with five by {exact:.0e}), and it tests no better than plain SGD: {ours:.1f} % of "
        f"the digits against {plain:.1f} %."
    )


def _block_loses(evidence: Evidence) -> str:
    ours, plain = (_test(evidence, method) for method in ("stochastic", "sgd"))
    evidence.claim(ours < plain - 1, "a quarter at a time learns less")
    return (
        "In the same number of epochs it learns less: a quarter of the coordinates at a time is right in "
        f"{ours:.1f} % of the digits, plain SGD in {plain:.1f} %, each at its best learning rate."
    )


_TURN = 'turned = model()\northogonalize(turned, "{}", include="0")\nturned(x)'

ORTHOGONAL = Family(
    page="orthogonal",
    title="Orthogonal training: rotations instead of weights",
    introduction=(
        "The weight of a layer stays as it was drawn, and one learned orthogonal matrix turns all its "
        "neurons together. The guide to [training rotations](../orthogonal.md) shows it at work; the study "
        "[orthogonal-training](../studies/orthogonal-training/card.md) judges it. Methods differ in how a "
        "free matrix becomes an orthogonal one: `orthogonalize(model, NAME)`."
    ),
    preparation="""\
import torch
from rankfold.convert import orthogonalize
from torch import nn


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 10))


x = torch.randn(8, 16)""",
    cards=(
        Card(
            name="cayley",
            what=(
                "Maps the skew-symmetric part A of a free matrix to `(I + A) (I - A)⁻¹`, which is a "
                "rotation for every A. It is the default."
            ),
            when="Rotations are wanted, and every free matrix should be allowed.",
            call=_TURN.format("cayley"),
            costs=_costs("cayley", "A linear solve of the size of the layer's inputs in every pass."),
            paper=_LIU,
            loses_where="at high learning rates",
            loses=_cayley_loses,
        ),
        Card(
            name="gram_schmidt",
            what="Makes the rows of a free matrix orthonormal, one after another. It is the way of the textbook.",
            when="You compare with the paper.",
            call=_TURN.format("gram_schmidt"),
            costs=_costs("gram_schmidt", "One small product for every row."),
            paper=_LIU,
            loses_where="in time, beside `householder`",
            loses=_gram_schmidt_loses,
        ),
        Card(
            name="householder",
            what="Makes the columns of a free matrix orthonormal in order, by QR. Reflections are reached too.",
            when="You want what Gram-Schmidt gives, in less time.",
            call=_TURN.format("householder"),
            costs=_costs("householder", "A QR factorisation in every pass."),
            paper=_LIU,
            loses_where="in accuracy, beside `cayley`",
            loses=_householder_loses,
        ),
        Card(
            name="loewdin",
            what="Takes the orthogonal matrix that is nearest to a free one, by a singular value decomposition.",
            when="No row or column should come first, as it does in Gram-Schmidt and QR.",
            call=_TURN.format("loewdin"),
            costs=_costs("loewdin", "A singular value decomposition in every pass."),
            paper=_LIU,
            loses_where="in time; on singular free matrices",
            loses=_loewdin_loses,
        ),
        Card(
            name="direct",
            what=(
                "The parameter itself is the orthogonal matrix. `rankfold.training.OrthogonalDescent` "
                "moves it along the group of orthogonal matrices, or `orthogonality_penalty` keeps it "
                "near."
            ),
            when="A solve in every pass is too much, and a small defect does not matter.",
            call="""\
from rankfold.layers import orthogonal_weights
from rankfold.training import OrthogonalDescent

turned = model()
orthogonalize(turned, "direct", include="0")
rotations = [free for name, layer, weight, free in orthogonal_weights(turned)]
optimizer = OrthogonalDescent(rotations, lr=0.02, iterations=5)
turned(x).square().mean().backward()
optimizer.step()""",
            costs=_costs(
                "direct", "Two products of square matrices per step and iteration, in the optimiser."
            ),
            paper="Li, Fuxin and Todorovic 2020; " + _LIU,
            loses_where="where exactness matters",
            loses=_direct_loses,
        ),
        Card(
            name="cayley, a block at a time",
            what=(
                "Turns a random share of the coordinates at a time (stochastic OPT). `redraw_blocks` "
                "multiplies what was learned into the weight and draws others."
            ),
            when="Layers have so many inputs that a square matrix of that size is too much.",
            call="""\
from rankfold.layers import redraw_blocks

generator = torch.Generator().manual_seed(0)
turned = model()
orthogonalize(turned, block=0.25, include="2", generator=generator)
optimizer = torch.optim.SGD(turned.parameters(), lr=0.1)
turned(x).square().mean().backward()
optimizer.step()
redraw_blocks(turned, generator=generator, optimizer=optimizer)""",
            costs=lambda evidence: "As `cayley`, for matrices of the size of the block.",
            paper=_LIU,
            loses_where="where the number of epochs is given",
            loses=_block_loses,
        ),
    ),
)
