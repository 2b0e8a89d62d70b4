"""NaN and infinity in gradients at random layers and steps: refused by name, nothing changed, and the run goes on.

Each case trains a small network twice. One meets the bad gradient, is told so, clears the gradients and goes on with
the next batch; the other leaves that batch out. They must be equal to the bit all the way.
"""

import math
import random
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
import tyro
from torch import Tensor, nn

import rankfold
from benchmarks._results import write_result
from benchmarks._setup import prepare

__all__ = ["Case", "case_of", "tried"]

NOTE = (
    "A network of a convolution, batch normalisation, dropout and two linear layers, five steps after and up to twelve "
    "before one that meets NaN or infinity. The value is put into the gradient of one entry of a core, a factor or a "
    "dense parameter, into the gradient of a layer's output, from which it reaches what the layer collects for a step "
    "of one pass, or into the gradient of the second evaluation of a closure. A case holds if the error names the step "
    "and a parameter that was hit, if parameters, buffers, optimiser state, ranks and random state are what they were, "
    "and if the run goes on bit for bit as one that left the batch out."
)
PLACES = ("core", "factor", "dense", "output", "second evaluation")
INNER = {"sgd": (torch.optim.SGD, {"lr": 0.05, "momentum": 0.9}), "adamw": (torch.optim.AdamW, {"lr": 0.01})}


@dataclass(frozen=True)
class Case:
    """One fault.

    Arguments:
        place: where the value is put.
        value: NaN or an infinity.
        step: from 1.
        pick: chooses the parameter among those of the place.
        integrator, core_steps, inner: of TDLRT.
        closure: whether the step gets one.
        half: whether the forward runs in bfloat16.
        seed: of weights and data.
    """

    place: str
    value: float
    step: int
    pick: int
    integrator: str
    core_steps: int
    inner: str
    closure: bool
    half: bool
    seed: int


def case_of(seed: int) -> Case:
    """The case with this number."""
    chance = random.Random(seed)
    place = chance.choice(PLACES)
    second = place == "second evaluation"
    return Case(
        place=place,
        value=chance.choice([math.nan, math.inf, -math.inf]),
        step=chance.randrange(1, 13),
        pick=chance.randrange(1000),
        integrator="augmented" if second else chance.choice(["augmented", "parallel", "fixed"]),
        core_steps=1 if second else chance.choice([1, 1, 3]),
        inner=chance.choice(list(INNER)),
        closure=second or chance.random() < 0.3,
        half=chance.random() < 0.3,
        seed=seed,
    )


class Run:
    """A network in training, whose batches depend on their number only."""

    def __init__(self, case: Case) -> None:
        torch.manual_seed(case.seed)
        self.case = case
        self.model = nn.Sequential(
            nn.Conv2d(2, 8, 3),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(8 * 16, 12),
            nn.Dropout(0.1),
            nn.Tanh(),
            nn.Linear(12, 5),
        )
        rankfold.factorize(self.model, 4)
        inner, arguments = INNER[case.inner]
        self.optimizer = rankfold.TDLRT(
            self.model,
            inner,
            integrator=case.integrator,
            core_steps=case.core_steps,
            tolerance=0.2,
            **arguments,
        )
        self.losses: list[float] = []

    def backward(self, number: int) -> Tensor:
        """The gradients of a batch."""
        generator = torch.Generator().manual_seed(1000 * self.case.seed + number)
        x = torch.randn(8, 2, 6, 6, generator=generator)
        y = torch.randint(0, 5, (8,), generator=generator)
        self.optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.case.half):
            loss = nn.functional.cross_entropy(self.model(x), y)
        loss.backward()
        return loss

    def step(self, number: int) -> None:
        """Train on a batch."""
        if self.case.closure:
            loss = self.optimizer.step(lambda: self.backward(number))
        else:
            loss = self.backward(number)
            self.optimizer.step()
        self.losses.append(float(loss.detach()))

    def state(self) -> list[Any]:
        """Everything that training depends on, as bits."""
        plain: list[Any] = [torch.get_rng_state().numpy().tobytes()]

        def walk(node: Any) -> None:
            if isinstance(node, Tensor):
                bits = node.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
                plain.append((str(node.dtype), tuple(node.shape), bits))
            elif isinstance(node, dict):
                for key, value in node.items():
                    plain.append(key)
                    walk(value)
            elif isinstance(node, list | tuple):
                for value in node:
                    walk(value)
            else:
                plain.append(node)

        walk([dict(self.model.state_dict()), self.optimizer.state_dict(), self.losses])
        return plain

    def bad_step(self) -> tuple[set[str], str | None]:
        """A step whose gradient is not finite: the parameters that may be named, and what was said."""
        names = dict(self.model.named_parameters())
        place, evaluations = self.case.place, 0
        if place == "output":
            layers = list(self.optimizer.layers.values())
            layer = layers[self.case.pick % len(layers)]
            possible, hooked = set(names), [layer.register_forward_hook(self._spoil_output)]
        else:
            kinds = {"core": "core", "factor": "factor_", "second evaluation": "core"}
            kind = kinds.get(place)
            chosen = sorted(n for n in names if _is_of(n, kind))
            name = chosen[self.case.pick % len(chosen)]
            least = 2 if place == "second evaluation" else 1

            def spoil(gradient: Tensor) -> Tensor:
                nonlocal evaluations
                evaluations += 1
                return self._spoiled(gradient) if evaluations >= least else gradient

            possible, hooked = {name}, [names[name].register_hook(spoil)]
        try:
            self.step(self.case.step)
        except rankfold.NonFiniteError as error:
            return possible, str(error)
        finally:
            for hook in hooked:
                hook.remove()
        return possible, None

    def _spoil_output(self, layer: nn.Module, inputs: Any, output: Tensor) -> None:
        output.register_hook(self._spoiled)

    def _spoiled(self, gradient: Tensor) -> Tensor:
        changed = gradient.clone()
        place = torch.unravel_index(torch.tensor(self.case.pick % changed.numel()), changed.shape)
        changed[place] = self.case.value
        return changed


def _is_of(name: str, kind: str | None) -> bool:
    leaf = name.rpartition(".")[2]
    if kind is None:
        return leaf != "core" and not leaf.startswith("factor_")
    return leaf.startswith(kind)


def tried(case: Case) -> str:
    """What became of a case: ``holds``, ``not reached`` where a closure is evaluated once only, or what went wrong."""
    seen, other = Run(case), Run(case)
    torch.manual_seed(case.seed)
    for number in range(1, case.step):
        seen.step(number)
    possible, said = seen.bad_step()
    if said is None:
        return "not reached" if case.place == "second evaluation" else "no error"
    found = re.match(r"TDLRT: at step (\d+) the gradient of (.+?) holds NaN or infinity", said)
    if found is None or int(found[1]) != case.step:
        return f"another sentence: {said}"
    if not possible & set(re.split(r", | and \d+ more", found[2])):
        return f"another parameter: {said}"
    drawn = torch.get_rng_state()
    torch.manual_seed(case.seed)
    for number in range(1, case.step):
        other.step(number)
    other.backward(
        case.step
    )  # it draws for dropout and moves the running means, which is no part of the step
    if not torch.equal(torch.get_rng_state(), drawn) or seen.state() != other.state():
        return "something was changed"
    for run in (seen, other):
        run.optimizer.zero_grad()
    rest = range(case.step + 1, case.step + 6)
    ends = []
    for run in (seen, other):
        torch.set_rng_state(drawn)
        for number in rest:
            run.step(number)
        ends.append(run.state())
    return "holds" if ends[0] == ends[1] else "goes on otherwise"


def main(cases: int = 600, output: str = "faults_not_finite") -> None:
    """Try so many cases.

    Arguments:
        cases: seeds from 0.
        output: name of the result.
    """
    facts = prepare(1)
    counts: dict[str, Counter[str]] = {place: Counter() for place in PLACES}
    failures = []
    for seed in range(cases):
        case = case_of(seed)
        outcome = tried(case)
        if outcome in ("holds", "not reached"):
            counts[case.place][outcome.replace(" ", "_")] += 1
        else:
            counts[case.place]["fails"] += 1
            failures.append({"seed": seed, "outcome": outcome})
            print(case, outcome, flush=True)
    rows = [
        {"place": place, **{name: counts[place][name] for name in ("holds", "not_reached", "fails")}}
        for place in PLACES
    ]
    print(rows)
    write_result(output, {"note": NOTE, **facts, "cases": cases, "rows": rows, "failures": failures})


if __name__ == "__main__":
    tyro.cli(main)
