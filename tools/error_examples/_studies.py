"""What a study cannot run or decide here."""

import torch

from rankfold.studies import NotPart, NotRun, Unavailable
from tools.error_examples._example import shows


@shows(Unavailable)
def needs_a_gpu() -> None:
    """Running a case that takes a GPU on a machine without one."""
    from rankfold.studies import STUDIES, Setting

    study = STUDIES["compression-curve"]
    (case, *_) = (case for case in study.cases(study.full) if case["network"] == "vgg16")
    study.run(case, Setting(device=torch.device("cpu")))


@shows(NotRun)
def asks_too_early() -> None:
    """Asking in a check for cases of which some were not run."""
    from rankfold.studies import Records

    cases = [{"seed": 0}, {"seed": 1}, {"seed": 2}]
    Records(cases, [{"seed": 0, "error": 0.1}]).where()


@shows(NotPart)
def asks_for_what_is_not_there() -> None:
    """Asking in a check for cases that this size of the study does not have."""
    from rankfold.studies import Records

    Records([{"seed": 0}], [{"seed": 0, "error": 0.1}]).where(seed=7)
