"""Cards of the CP methods."""

from rankfold.decompose import METHODS
from tools.cards._card import Card, Family, Sentence
from tools.cards._evidence import Evidence

__all__ = ["CP"]

_EASY = "20^3 R5 c=.5"
_SCALED = "10^3 R8 weights 1..1e-3"
_STRASSEN = "4^3 R7 Strassen"


def _success(evidence: Evidence, family: str, side: str) -> str:
    return evidence.row("decompose_success", family=family, side=side)["success"]


def _costs(method: str, words: str) -> Sentence:
    """What a method costs: in words, and in milliseconds on easy tensors."""

    def sentence(evidence: Evidence) -> str:
        ours, plain = (
            1000 * evidence.row("card_cp", family=_EASY, method=name)["seconds"] for name in (method, "als")
        )
        beside = "" if method == "als" else f", `als` {plain:.0f} ms"
        return f"{words} A call on the easy tensors `{_EASY}` takes {ours:.0f} ms of processor time{beside}."

    return sentence


def _auto_loses(evidence: Evidence) -> str:
    (problem,) = {row["problem"] for row in evidence.rows("cp_collinear") if "R20" in row["problem"]}
    auto, once = (
        evidence.row("cp_collinear", problem=problem, side=side)["x_als"]
        for side in ("auto", "auto, restarts=1")
    )
    taxi = evidence.goal("decompose_real", "taxi: hidden error, ranks given")
    evidence.claim(auto > 2 and taxi > 1, "auto is slower on easy tensors and less exact on taxi counts")
    return (
        f"Where one start of `als` would do, a second start that has to agree is wasted: on `{problem}` it "
        f"takes {auto:.1f} times the time of `als`, with `restarts=1` {once:.1f} times. Hidden entries of "
        f"taxi counts are predicted up to {100 * (taxi - 1):.1f} % worse than by TensorLy's masked "
        "`parafac` at its best rank."
    )


def _als_loses(evidence: Evidence) -> str:
    rows = evidence.rows("decompose_success", side="als")
    failed = [row["family"] for row in rows if row["share"] <= 0.2]
    evidence.claim(len(failed) >= 5, "als fails on several families")
    return (
        f"It stalls above the best fit. On {len(failed)} of {len(rows)} families of exact tensors it "
        f"succeeds in one start of five or fewer: on `{_SCALED}` in {_success(evidence, _SCALED, 'als')}, "
        f"where `auto` has {_success(evidence, _SCALED, 'auto')}."
    )


def _gauss_newton_loses(evidence: Evidence) -> str:
    hidden = {
        name: evidence.row("decompose_missing", R=3, hidden_percent=80, side=name)
        for name in ("gauss_newton", "greedy")
    }
    own, greedy = hidden["gauss_newton"], hidden["greedy"]
    scaled = evidence.row("decompose_success", family=_SCALED, side="gauss_newton")
    evidence.claim(own["share"] < 0.5 < greedy["share"] and scaled["share"] < 0.5, "local minima")
    return (
        "One start ends in a local minimum where much is missing or weights differ: with "
        f"{own['hidden_percent']} % of the entries hidden it fills the gaps in {own['success']} tensors of "
        f"rank {own['R']}, `greedy` in {greedy['success']}; on `{_SCALED}` it succeeds in "
        f"{scaled['success']}."
    )


def _algebraic_loses(evidence: Evidence) -> str:
    rows = evidence.rows("decompose_success", side="algebraic")
    refused = [row["family"] for row in rows if row["share"] is None]
    example = next(family for family in refused if "gaussian" in family)
    evidence.claim(len(refused) >= 3, "algebraic does not apply to some families")
    return (
        f"It needs two dimensions that reach the rank, and complete data: it refuses {len(refused)} of "
        f"{len(rows)} families, among them `{example}`, where `als` succeeds in "
        f"{_success(evidence, example, 'als')}."
    )


def _greedy_loses(evidence: Evidence) -> str:
    greedy, auto = (
        evidence.row("decompose_success", family=_STRASSEN, side=side) for side in ("greedy", "auto")
    )
    evidence.claim(greedy["share"] < auto["share"], "no component stands out in matrix multiplication")
    return (
        f"Where no component stands out the first one is a guess: on matrix multiplication (`{_STRASSEN}`) "
        f"it succeeds in {greedy['success']}, `auto` in {auto['success']}."
    )


def _overparam_loses(evidence: Evidence) -> str:
    own, plain = (evidence.row("decompose_success", family=_EASY, side=side) for side in ("overparam", "als"))
    scaled = evidence.row("decompose_success", family=_SCALED, side="overparam")
    evidence.claim(own["seconds"] > 2 * plain["seconds"] and scaled["share"] < 1, "slow on easy tensors")
    return (
        f"On easy tensors it pays for components that nobody needs: on `{_EASY}` "
        f"{own['seconds'] / plain['seconds']:.1f} times the time of `als`, for the same {own['success']}. "
        f"And small components may be dropped: on `{_SCALED}` it succeeds in {scaled['success']}."
    )


def _gradient_flow_loses(evidence: Evidence) -> str:
    own, plain = (evidence.row("card_cp", family=_EASY, method=name) for name in ("gradient_flow", "als"))
    slowest = max(evidence.rows("card_cp", family=_EASY), key=lambda row: row["seconds"])
    evidence.claim(slowest is own, "gradient_flow is the slowest")
    return (
        f"It is the slowest of all: on `{_EASY}` it takes {own['seconds'] / plain['seconds']:.0f} times the "
        f"time of `als`, and both succeed in {own['success']}."
    )


CP = Family(
    page="cp",
    title="CP methods: ways to find the components of a tensor",
    introduction=(
        "`rankfold.cp` writes a tensor as a sum of as few outer products as it takes. The sum is the same "
        "whichever method looks for it; methods differ in how often they find it, in what they can do "
        "(gaps, sparse data, signs, counts), and in time. `cp(x, method=NAME)` chooses one, and so does "
        "`--method` of `rankfold decompose`; without a word it is `auto`. Names of tensors here: `20^3 R5 "
        "c=.5` is 20 x 20 x 20 with 5 components of cosine 0.5 to each other; `weights 1..1e-3` says how "
        "much smaller the last component is than the first. The guide to [decomposing "
        "data](../decompose.md) says what the answers mean."
    ),
    preparation="""\
import torch
import rankfold as rf

generator = torch.Generator().manual_seed(0)
factors = [torch.randn(n, 3, generator=generator, dtype=torch.float64) for n in (10, 12, 14)]
cube = rf.CP(torch.ones(3, dtype=torch.float64), tuple(factors)).to_dense()""",
    cards=(
        Card(
            name="auto",
            what=(
                "Starts with alternating least squares; where that does not settle quickly it goes on with "
                "the algebraic or the greedy method. It repeats from other starts until two of them agree, "
                "or the fit is exact."
            ),
            when="Always, unless you have a reason: it is the default, and confirms its answer by a second start.",
            call="parts = rf.cp(cube, 3, generator=0)",
            costs=_costs("auto", "Two starts or more, each of the time of the method that serves."),
            paper="this library; the parts are those below",
            loses_where="on easy tensors of known rank, where one start would do",
            loses=_auto_loses,
        ),
        Card(
            name="als",
            what=(
                "Solves for the factor of one mode after another, each time a linear least squares "
                "problem. With `nonnegative=True` it updates one component after another instead "
                "(hierarchical ALS)."
            ),
            when="The tensor is easy or very large, or you want the baseline that everything is compared with.",
            call='parts = rf.cp(cube, 3, method="als", generator=0)',
            costs=_costs("als", "One product of the tensor with the factors per mode and sweep."),
            paper=METHODS["als"].source,
            loses_where="on collinear components, components of different size, orthogonal components",
            loses=_als_loses,
        ),
        Card(
            name="gauss_newton",
            what=(
                "Changes all factors together by damped Gauss-Newton steps (Levenberg-Marquardt). Near a "
                "solution it is exact to rounding within a few steps."
            ),
            when="You have a good start (`init=`), or want the last digits.",
            call='parts = rf.cp(cube, 3, method="gauss_newton", generator=0)',
            costs=_costs("gauss_newton", "A linear system in all factors per step."),
            paper=METHODS["gauss_newton"].source,
            loses_where="with many gaps, and where weights differ much",
            loses=_gauss_newton_loses,
        ),
        Card(
            name="algebraic",
            what=(
                "Gets the components from the eigenvectors of a pencil of two mixed slices, then refines "
                "them. No start is drawn that could be a bad one."
            ),
            when="The data are complete and two dimensions are at least as large as the rank.",
            call='parts = rf.cp(cube, 3, method="algebraic", generator=0)',
            costs=_costs("algebraic", "One eigenvalue problem of the size of the rank, and a refinement."),
            paper=METHODS["algebraic"].source,
            loses_where="where the rank exceeds the dimensions, or data have gaps: it refuses",
            loses=_algebraic_loses,
        ),
        Card(
            name="greedy",
            what=(
                "Finds the component that explains most of what is left, adds it, and refits all of them "
                "together, until there are as many as asked for. Later components repair what earlier ones "
                "got wrong."
            ),
            when="Components have different sizes, or data have gaps.",
            call='parts = rf.cp(cube, 3, method="greedy", generator=0)',
            costs=_costs("greedy", "One search and one refit per component."),
            paper=METHODS["greedy"].source,
            loses_where="on exact algebra such as matrix multiplication, where no component stands out",
            loses=_greedy_loses,
        ),
        Card(
            name="overparam",
            what=(
                "Fits more components than asked for, which removes bad local minima, and then drops one "
                "after another, those first that the fit misses least. What remains is polished."
            ),
            when="You ask for more components than there are, or other methods end in different answers.",
            call='parts = rf.cp(cube, 3, method="overparam", generator=0)',
            costs=_costs(
                "overparam", "About a third more components than asked for, all of them fitted together."
            ),
            paper=METHODS["overparam"].source,
            loses_where="on easy tensors, and on very small components",
            loses=_overparam_loses,
        ),
        Card(
            name="gradient_flow",
            what=(
                "Lets many small components grow along the gradient, so that large parts of the tensor are "
                "found first and small ones later; then drops what is not needed. It is the only method "
                "for `loss='poisson'`."
            ),
            when="The data are counts, or you study how over-parameterised descent finds components.",
            call="counts = torch.poisson(5 * cube.abs(), generator=generator)\n"
            'rates = rf.cp(counts, 3, method="gradient_flow", loss="poisson", generator=0)',
            costs=_costs("gradient_flow", "Hundreds of gradient steps on several times as many components."),
            paper=METHODS["gradient_flow"].source,
            loses_where="in time, always",
            loses=_gradient_flow_loses,
        ),
    ),
    remarks="Your own method is a record of the same kind: see [the guide](../extend/solver.md).",
)
