"""Time of one training step: TDLRT beside dense training, fixed ranks, the published step and TensorLy-Torch.

One step clears the gradients, runs forward, cross-entropy and backward, and steps the optimiser, on random inputs
made beforehand. TDLRT's ranks are held at C * share, so that every step widens all bases and cuts them back. All sides
of one table run interleaved in one process, with the allocator set for everybody.
"""

import argparse
from dataclasses import dataclass
from fractions import Fraction as Ratio
from statistics import median
from typing import Any

import torch

from benchmarks import _mlp, _vgg
from benchmarks._results import write_result
from benchmarks._setup import prepare, result_name
from benchmarks._step_sides import CycleSide, PublishedSide, Side, random_batches
from benchmarks._timing import interleaved, median_ratio
from rankfold import Fraction

# Targets of the design: time by that of the dense step, by share of the full rank.
_AUGMENTED = {Ratio(1, 8): 0.24, Ratio(1, 4): 0.38, Ratio(1, 2): 0.95}
_PARALLEL = {Ratio(1, 8): 0.22, Ratio(1, 4): 0.31}
_MLP_RANK, _MLP_BATCH = 32, 256
_EVERY = {"core_steps": 1}
_TENTH = {"core_steps": 1, "basis_every": 10}


@dataclass(frozen=True)
class Case:
    """One table of the VGG."""

    share: Ratio
    batch: int = 128
    batch_norm: bool = False
    bf16: bool = False

    @property
    def name(self) -> str:
        """As it stands in the table."""
        extras = [f"batch {self.batch}"] if self.batch != 128 else []
        extras += ["batch norm"] * self.batch_norm + ["bf16"] * self.bf16
        return ", ".join([f"VGG f={self.share}", *extras])

    @property
    def standard(self) -> bool:
        """Whether the targets are about this case."""
        return self == Case(self.share)


def vgg_sides(case: Case, device: str) -> dict[str, Side]:
    """All ways to train the VGG at one share."""
    batches = random_batches(_vgg.INPUT_SHAPE, case.batch, device)
    policy, bf16 = Fraction(float(case.share)), case.bf16

    def model() -> torch.nn.Sequential:
        return _vgg.factorized_vgg(float(case.share), case.batch_norm)

    sides = {
        "dense": Side(_vgg.dense_vgg(case.batch_norm), batches, bf16=bf16),
        "fixed rank": Side(model(), batches, bf16=bf16),
        "TDLRT": CycleSide(model(), batches, policy, _EVERY, bf16=bf16),
        "TDLRT single gradient": CycleSide(
            model(), batches, policy, {**_EVERY, "integrator": "parallel"}, bf16=bf16
        ),
        "TDLRT core_steps=10": CycleSide(model(), batches, policy, {"core_steps": 10}, bf16=bf16),
        "TDLRT every 10th step": CycleSide(model(), batches, policy, _TENTH, bf16=bf16),
        "TensorLy-Torch fixed rank": Side(
            _vgg.tensorly_vgg(float(case.share), case.batch_norm), batches, channels_last=False, bf16=bf16
        ),
    }
    if case.standard and case.share < Ratio(1, 2):
        sides["published step"] = PublishedSide(model(), batches)
    return sides


def mlp_sides(device: str) -> dict[str, Side]:
    """All ways to train the multilayer perceptron."""
    batches = random_batches(_mlp.INPUT_SHAPE, _MLP_BATCH, device)

    def tdlrt(**options: Any) -> CycleSide:
        return CycleSide(_mlp.factorized_mlp(_MLP_RANK), batches, _MLP_RANK, options)

    return {
        "dense": Side(_mlp.dense_mlp(), batches),
        "fixed rank": Side(_mlp.factorized_mlp(_MLP_RANK), batches),
        "TDLRT": tdlrt(core_steps=1),
        "TDLRT single gradient": tdlrt(core_steps=1, integrator="parallel"),
        "TDLRT core_steps=10": tdlrt(core_steps=10),
        "TDLRT every 10th step": tdlrt(**_TENTH),
    }


def measure(
    network: str, sides: dict[str, Side], rounds: int, calls: int = 1
) -> tuple[list[dict], dict[str, list[float]]]:
    """Rows of one table, and the seconds of every side and round."""
    times = interleaved(sides, rounds=rounds, calls=calls)
    for side in sides.values():
        side.check()
    # With a basis step in every step a cycle is one step, however many batches the library takes for it.
    for name in ("TDLRT core_steps=10", "TDLRT every 10th step"):
        steps = sides[name].steps_per_call
        times[name] = [seconds / steps for seconds in times[name]]
    rows = []
    for side, seconds in times.items():
        row = {
            "network": network,
            "side": side,
            "ms": round(1e3 * median(seconds), 2),
            "x_dense": round(median_ratio(times, side, "dense"), 3),
            "batches_per_cycle": sides[side].steps_per_call,
        }
        rows.append(row)
        print(f"{network:24} {side:26} {row['ms']:9.2f} ms  {row['x_dense']:.3f} of dense")
    return rows, times


def vgg_definitions(share: Ratio, times: dict[str, list[float]]) -> dict[str, dict[str, Any]]:
    """What the design asks of the VGG at one share."""
    found = {
        f"B4 f={share}": _entry(times, "TDLRT", "dense", f"<= {_AUGMENTED[share]}", "x dense step"),
        f"B4 amortised f={share}": _entry(
            times, "TDLRT every 10th step", "fixed rank", "<= 1.05", "x fixed-rank step"
        ),
        f"B4 core_steps=10 f={share}": _entry(
            times, "TDLRT core_steps=10", "fixed rank", "<= 1.05", "x fixed-rank step"
        ),
    }
    if share in _PARALLEL:
        found[f"B4 single gradient f={share}"] = _entry(
            times, "TDLRT single gradient", "dense", f"<= {_PARALLEL[share]}", "x dense step"
        )
        found[f"B4 over published f={share}"] = _entry(
            times, "published step", "TDLRT", ">= 3.4", "x faster than the published step"
        )
    if share == Ratio(1, 8):
        found["B6"] = _entry(
            times, "TDLRT", "TensorLy-Torch fixed rank", "<= 0.95", "x TensorLy-Torch fixed-rank step"
        )
    return found


def _entry(
    times: dict[str, list[float]], side: str, reference: str, target: str, unit: str
) -> dict[str, Any]:
    return {"measured": round(median_ratio(times, side, reference), 3), "target": target, "unit": unit}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--full", action="store_true", help="more rounds, batch norm, bf16")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    on_gpu = options.device != "cpu"
    # A GPU needs the wall clock, which the timing takes with more than one thread.
    facts = prepare(max(options.threads, 2) if on_gpu else options.threads)
    cases = [Case(Ratio(1, 8)), Case(Ratio(1, 4)), Case(Ratio(1, 2))]
    if options.full:
        quarter = Ratio(1, 4)
        cases += [Case(quarter, batch_norm=True), Case(quarter, bf16=True)]
        cases += [Case(quarter, batch=512)] if on_gpu else []
    rounds = 9 if options.full else 3
    rows, definitions = [], {}
    for case in cases:
        found, times = measure(case.name, vgg_sides(case, options.device), rounds)
        rows += found
        if case.standard:
            definitions.update(vgg_definitions(case.share, times))
    found, times = measure("MLP r=32", mlp_sides(options.device), 2 * rounds, calls=3)
    rows += found
    definitions["B7"] = _entry(times, "TDLRT", "dense", "<= 0.19", "x dense step")
    name = "step_cuda" if on_gpu else result_name("step", options.threads)
    result = {
        "title": "Time of a training step",
        "note": "Medians over interleaved rounds; ratios are medians of the ratios of each round. "
        "'TDLRT core_steps=10' is a whole cycle by its number of steps, the core steps in the widened bases. "
        "'TDLRT every 10th step' is basis_every=10: one whole step and nine on the cores at their rank. "
        "The published step is our own writing of the algorithm with plain QR and SVD.",
        **facts,
        "device": options.device,
        "rounds": rounds,
        "definitions": definitions,
        "rows": rows,
    }
    write_result(name, result)
    for key, entry in definitions.items():
        print(f"{key:28} {entry['measured']:7.3f}  wanted {entry['target']} {entry['unit']}")


if __name__ == "__main__":
    main()
