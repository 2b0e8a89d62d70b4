"""How ranks move during training: down from above, not up from below, and when a new direction survives."""

from rankfold.studies._rank_evolution_checks import CHECKS
from rankfold.studies._rank_evolution_figure import plot, tables
from rankfold.studies._rank_evolution_parts import PARTS
from rankfold.studies._records import Case, Record
from rankfold.studies._study import Parameters, Setting, Study

__all__ = ["RANK_EVOLUTION"]


def _cases(parameters: Parameters) -> list[Case]:
    p, first = parameters, parameters["seed"]
    return [
        *(
            {
                "part": "training",
                "data": "mnist",
                "integrator": integrator,
                "start": start,
                "tolerance": tolerance,
                "core_steps": core_steps,
                "lr": 0.05,
                "images": p["images"],
                "test_images": p["test_images"],
                "epochs": p["epochs"],
                "seed": seed,
            }
            for integrator, start, tolerance, core_steps in p["trainings"]
            for seed in range(first, first + p["network_runs"])
        ),
        *(
            {
                "part": "dead zone",
                "tolerance": tolerance,
                "core_steps": core_steps,
                "rates": p["rates"],
                "start": 2,
                "steps": p["dead_zone_steps"],
                "seed": seed,
            }
            for core_steps in p["core_steps"]
            for tolerance in p["dead_zone_tolerances"]
            for seed in range(first, first + p["dead_zone_runs"])
        ),
        *(
            {
                "part": "starts",
                "tolerance": t,
                "lr": lr,
                "core_steps": s,
                "start": start,
                "steps": p["start_steps"],
                "seed": first,
            }
            for t in (0.02, 0.05, 0.1)
            for lr, s in ((0.1, 1), (0.1, 10), (0.004, 1))
            for start in (2, 24)
        ),
        *(
            {
                "part": "matched",
                "tolerance": t,
                "lr": lr,
                "steps": 40,
                "halvings": p["halvings"],
                "seed": seed,
            }
            for lr in p["matched_rates"]
            for t in p["matched_tolerances"]
            for seed in range(first, first + p["matched_runs"])
        ),
    ]


def _run(case: Case, setting: Setting) -> Record:
    return PARTS[case["part"]](case, setting)


RANK_EVOLUTION = Study(
    name="rank-evolution",
    title="Ranks during training, and the dead zone of small learning rates",
    claim=(
        "Ranks decay from over-estimated starts, faster for larger tolerances; whether they can also grow depends on "
        "the learning rate, the core steps and the tolerance; the parallel integrator needs a smaller tolerance."
    ),
    paper=(
        "Zangrando, Schotthöfer, Ceruti, Kusch, Tudisco 2024, Geometry-aware training of factorized layers in tensor "
        "Tucker format (decay of ranks); Ceruti, Kusch, Lubich 2024, A parallel rank-adaptive integrator (tolerances); "
        "the dead zone and its border are ours"
    ),
    quick={
        "seed": 0,
        "images": 6000,
        "test_images": 2000,
        "epochs": 3,
        "network_runs": 1,
        "trainings": [
            ["dense", "full", 0.0, 1],
            ["augmented", "full", 0.1, 10],
            ["augmented", "full", 0.2, 10],
            ["augmented", "full", 0.3, 10],
            ["augmented", 2, 0.1, 10],
        ],
        "core_steps": [1, 16],
        "dead_zone_tolerances": [0.02, 0.04, 0.08, 0.16, 0.32],
        "rates": [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512],
        "dead_zone_steps": 120,
        "dead_zone_runs": 1,
        "start_steps": 300,
        "matched_rates": [0.5, 0.1],
        "matched_tolerances": [0.2, 0.1, 0.05],
        "matched_runs": 3,
        "halvings": 6,
    },
    full={
        "seed": 0,
        "images": 60000,
        "test_images": 10000,
        "epochs": 10,
        "network_runs": 3,
        "trainings": [
            ["dense", "full", 0.0, 1],
            ["augmented", "full", 0.05, 10],
            ["augmented", "full", 0.1, 10],
            ["augmented", "full", 0.2, 10],
            ["augmented", "full", 0.3, 10],
            ["augmented", 2, 0.1, 10],
            ["augmented", 2, 0.1, 1],
            ["augmented", 2, 0.05, 10],
            ["parallel", "full", 0.1, 10],
            ["parallel", 2, 0.1, 10],
        ],
        "core_steps": [1, 2, 4, 8, 16, 32],
        "dead_zone_tolerances": [0.01, 0.02, 0.04, 0.08, 0.16, 0.32],
        "rates": [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512],
        "dead_zone_steps": 600,
        "dead_zone_runs": 5,
        "start_steps": 300,
        "matched_rates": [0.5, 0.1],
        "matched_tolerances": [0.2, 0.1, 0.05, 0.02, 0.01],
        "matched_runs": 20,
        "halvings": 8,
    },
    cases=_cases,
    run=_run,
    checks=CHECKS,
    tables=tables,
    plot=plot,
    remarks=(
        "The network is LeNet-5 on MNIST, trained by SGD with learning rate 0.05 and momentum 0.9; the paper shows "
        "VGG16 on CIFAR-10, which needs a GPU and is left out.",
        "Ranks still fall when a short run ends, so the decay is that of the first epochs; from rank 2 such a run "
        "has not learned the task either.",
        "At the largest tolerances the start itself is cut, and growth back to it does not count; the formula does not "
        "know that the teacher's own small components lie below the tolerance.",
        "Teachers have rank 6 and singular values 0.7^k; the loss is quadratic and its gradient exact, so the border "
        "has a formula. The new part exceeding the threshold is necessary for growth, not sufficient.",
        "Equal ranks are compared at the largest tolerance of either integrator that ends with them, by bisection, "
        "on a target of order 4 from rank 2.",
        "The shares and factors in the checks are choices of this library, but for the 2 to 10 of the tolerances.",
    ),
)
