"""Cards of Tucker and tensor-train decompositions."""

from tools.cards._card import Card, Family
from tools.cards._evidence import Evidence

__all__ = ["TUCKER"]


def _size(evidence: Evidence, case: str, form: str) -> int:
    return evidence.row("card_formats", case=case, format=form)["parameters"]


def _tucker_costs(evidence: Evidence) -> str:
    ours, peer = (
        evidence.row("tucker", part="complete", shape="200x200x200", side=side)
        for side in ("Rankfold", "TensorLy")
    )
    return (
        f"One spectrum and one product per mode. {ours['shape']} numbers at ranks {ours['ranks']} take "
        f"{ours['seconds']:.2f} s on one thread, TensorLy {peer['seconds']:.1f} s."
    )


def _tucker_loses(evidence: Evidence) -> str:
    row = evidence.row("card_formats", case="smooth", format="tucker")
    ours, train = row["parameters"], _size(evidence, "smooth", "tt")
    evidence.claim(ours > 2 * train, "the core grows with the power of the order")
    return (
        f"The core grows with the power of the number of modes: for a smooth function of {row['order']} "
        f"variables it stores {ours} numbers, `tt` {train} at the same tolerance."
    )


def _gaps_costs(evidence: Evidence) -> str:
    taxi = evidence.rows("tucker", part="gaps", data="taxi", hidden_percent=30, side="Rankfold")
    slowest = max(taxi, key=lambda row: row["seconds"])
    return (
        f"Gauss-Newton steps on the observed entries: {slowest['seconds']:.1f} s for taxi counts at ranks "
        f"{slowest['ranks']}."
    )


def _gaps_loses(evidence: Evidence) -> str:
    error = evidence.goal("tucker", "Gaps taxi, 80 % hidden")
    time = evidence.goal("tucker", "Gaps taxi, 80 % hidden, time")
    (hidden,) = {
        row["hidden_percent"]
        for row in evidence.rows("tucker", part="gaps", data="taxi")
        if row["hidden_percent"] > 70
    }
    evidence.claim(error > 1 and time > 1, "with most entries hidden TensorLy does better")
    return (
        f"With {hidden} % of taxi counts hidden it predicts them {100 * (error - 1):.0f} % worse than "
        f"TensorLy, each at its best ranks, and takes {time:.1f} times the time."
    )


def _randomized_costs(evidence: Evidence) -> str:
    rows = evidence.rows("tucker", part="randomised", side="Rankfold randomized")
    told = ", ".join(f"{row['seconds']:.2f} s for {row['shape']} at ranks {row['ranks']}" for row in rows)
    return f"Two products of each unfolding with a thin matrix: {told}."


def _randomized_loses(evidence: Evidence) -> str:
    rows = evidence.rows("tucker", part="randomised")
    pairs = [
        (row["shape"], row["seconds"], other["seconds"])
        for row in rows
        for other in rows
        if row["shape"] == other["shape"]
        and "randomized" in row["side"]
        and "randomized" not in other["side"]
    ]
    evidence.claim(all(ours > plain for _, ours, plain in pairs), "the default is faster")
    told = ", ".join(f"{shape} in {ours / plain:.1f} times" for shape, ours, plain in pairs)
    return (
        f"Wherever we measured it is slower than the default, at the same error: {told} its time. Gram "
        "matrices of the modes are cheaper than the products with random matrices, as long as they fit."
    )


def _tt_loses(evidence: Evidence) -> str:
    first, last = (_size(evidence, f"digits, images {place}", "tt") for place in ("first", "last"))
    ours = _size(evidence, "digits, images first", "tucker")
    evidence.claim(
        first > 1.3 * ours and first > 1.3 * last, "TT is larger at order 3 and depends on the order of modes"
    )
    return (
        "With few modes it is larger than Tucker, and it depends on the order of the modes: a stack of "
        f"small images takes {first:,} numbers with the images as first mode, {last:,} with the images "
        f"last, and as Tucker {ours:,} either way."
    )


TUCKER = Family(
    page="tucker",
    title="Tucker and tensor trains: tensors made smaller",
    introduction=(
        "Both write a tensor in fewer numbers at a given error. They do not name causes as [CP](cp.md) "
        "does: their factors can be turned without changing the tensor. The guide to [decomposing "
        "data](../decompose.md) has the whole picture; on the command line it is `--format tucker` or "
        "`--format tt` of `rankfold decompose`."
    ),
    preparation="""\
import torch
import rankfold as rf

generator = torch.Generator().manual_seed(0)
axes = (torch.linspace(0, 1, n, dtype=torch.float64) for n in (20, 25, 30))
cube = torch.exp(-(sum(torch.meshgrid(*axes, indexing="ij")) ** 2))
noisy = cube + 0.01 * torch.randn(cube.shape, generator=generator, dtype=torch.float64)""",
    cards=(
        Card(
            name="tucker",
            what=(
                "Writes a tensor as a small core times one orthonormal factor per mode. A tolerance is met "
                "by a sequentially truncated HOSVD; given ranks are improved by orthogonal iteration."
            ),
            when="Few modes (3 or 4), complete data, and a tolerance rather than ranks in mind.",
            call="print(rf.tucker(noisy, tolerance=0.05).tensor)",
            costs=_tucker_costs,
            paper=(
                "Vannieuwenhoven, Vandebril and Meerbergen 2012; De Lathauwer, De Moor and Vandewalle "
                "2000; with `nonnegative=True` Phan and Cichocki 2011"
            ),
            loses_where="with many modes",
            loses=_tucker_loses,
        ),
        Card(
            name="tucker, with gaps",
            what=(
                "Fits the observed entries alone, by Gauss-Newton steps over all factors. What is hidden "
                "is drawn to zero as far as entries held out at first are predicted better for it."
            ),
            when="Entries are missing, and you know about how many ranks there should be.",
            call="""\
holes = noisy.clone()
holes[torch.rand(cube.shape, generator=generator) < 0.3] = float("nan")
print(rf.tucker(holes, ranks=3, mask="nan", generator=0).tensor)""",
            costs=_gaps_costs,
            paper="Heidel and Schulz 2018, 'A Riemannian trust-region method for low-rank tensor completion'",
            loses_where="where most entries are missing",
            loses=_gaps_loses,
        ),
        Card(
            name="tucker, randomized",
            what=(
                "Finds each basis from products with random matrices, with one power step, and then "
                "iterates as the default does. No Gram matrix of a mode is formed."
            ),
            when="A mode is so long that its Gram matrix does not fit into memory.",
            call='print(rf.tucker(noisy, 3, method="randomized", generator=0).tensor)',
            costs=_randomized_costs,
            paper="Halko, Martinsson and Tropp 2011, 'Finding structure with randomness'",
            loses_where="where Gram matrices fit into memory",
            loses=_randomized_loses,
        ),
        Card(
            name="tt",
            what=(
                "Writes a tensor as a train of cores, one per mode, each joined to the next by a rank. Its "
                "size grows slowly with the number of modes."
            ),
            when="Many modes, as in functions on grids or in reshaped vectors.",
            call="print(rf.tt(noisy, tolerance=0.05).tensor)",
            costs=lambda evidence: "One SVD per mode, of the tensor reshaped to a matrix.",
            paper="Oseledets 2011, 'Tensor-train decomposition'",
            loses_where="with few modes",
            loses=_tt_loses,
        ),
    ),
)
