"""The study of compression: its arithmetic against loops by hand, and a tiny run on digits."""

import math
from itertools import pairwise

import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from rankfold.studies import Records, Setting, StudyRun, Unavailable, judge, run_study
from rankfold.studies import _compression_training as training
from rankfold.studies._compression_curve import COMPRESSION_CURVE
from rankfold.studies._compression_methods import METHODS, common_rank
from rankfold.studies._compression_networks import NETWORKS, Split, compressed_layers
from rankfold.studies._compression_points import accuracy_at, deviation, margin, points, published_margin
from rankfold.studies._compression_published import PUBLISHED
from rankfold.studies._compression_training import augmented, run_case
from rankfold.studies._records import NotRun

_DATA = {
    "images": 96,
    "held_out": 40,
    "test_images": 60,
    "epochs": 1,
    "batch_size": 16,
    "label_smoothing": 0.0,
}
_TINY = {
    **_DATA,
    "seeds": 2,
    "recipes": [[0.02, 5e-4]],
    "tolerances": [0.5],
    "shares": [0.1, 0.05],
}


def _row(
    method="tdlrt", point=0.1, *, seed=0, rate=0.1, accuracy=90.0, held_out=90.0, compression=95.0, **more
):
    return {
        "network": "lenet5",
        "method": method,
        "point": point,
        "learning_rate": rate,
        "weight_decay": 0.0,
        "seed": seed,
        "accuracy": accuracy,
        "held_out_accuracy": held_out,
        "compression": compression,
        "seconds": 1.0,
        "diverged": False,
        "images": None,
        "test_images": None,
        **more,
    }


def _records(rows):
    names = ("network", "method", "point", "learning_rate", "weight_decay", "seed", "images", "test_images")
    return Records([{name: row[name] for name in names} for row in rows], rows)


@pytest.fixture
def few_images(monkeypatch):
    """Noise with a square whose place is the class, in place of the data sets."""

    def load(name, data_dir, images, held_out, test_images, pooled):
        generator = torch.Generator().manual_seed(0)
        side = 28 // pooled

        def drawn(count):
            targets = torch.randint(10, (count,), generator=generator)
            inputs = 0.1 * torch.randn(count, 1, side, side, generator=generator)
            for number, target in enumerate(targets.tolist()):
                inputs[number, :, target : target + 3, target : target + 3] += 2
            return inputs, targets

        return Split(drawn(images), drawn(held_out), drawn(test_images), 10)

    monkeypatch.setattr(training, "load_split", load)


def _case(method, point, network="lenet5", **changes):
    recipe = {"learning_rate": 0.02, "weight_decay": 5e-4, "seed": 3}
    return {"network": network, "method": method, "point": point, **recipe, **_DATA, **changes}


@pytest.mark.parametrize("network", ["lenet5", "small_vgg"])
@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_trains_and_counts_what_is_left(few_images, network, method):
    point = {"dense": 1.0, "tdlrt": 0.5}.get(method, 0.1)
    record = run_case(_case(method, point, network), Setting())
    layers = compressed_layers(NETWORKS[network].build(10), NETWORKS[network].compressed)
    dense = sum(layer.weight.numel() for layer in layers)
    assert record["parameters_dense"] == dense
    assert record["compression"] == pytest.approx(100 * (1 - record["parameters"] / dense))
    assert 0 <= record["accuracy"] <= 100
    assert not record["diverged"]
    if method == "dense":
        assert record["parameters"] == dense
    elif method in ("snip", "magnitude"):
        assert record["parameters"] == round(0.1 * dense)
    elif method != "tdlrt":
        # One rank more would be too many; the ranks here are small, so that a rank is no tenth of the share.
        assert 0.05 * dense < record["parameters"] <= 0.1 * dense
    else:
        assert 0 < record["parameters"] < dense


def test_a_case_gives_the_same_again_whatever_was_drawn_before(few_images):
    first, second = ({}, {})
    for record in (first, second):
        torch.rand(7)
        record.update(run_case(_case("tdlrt", 0.3), Setting()))
        del record["seconds"]
    assert first == second


@pytest.mark.parametrize("method", ["dense", "tdlrt"])
def test_a_training_that_diverges_counts_as_guessing(few_images, method):
    record = run_case(_case(method, 0.1, learning_rate=1e8), Setting())
    assert record["diverged"]
    assert (record["accuracy"], record["held_out_accuracy"]) == (10.0, 0.0)


@pytest.mark.parametrize("network", ["vgg16", "alexnet", "resnet18"])
def test_networks_on_cifar_ask_for_a_gpu(network):
    with pytest.raises(Unavailable, match="GPU"):
        run_case(_case("dense", 1.0, network), Setting())


def test_a_common_rank_is_the_largest_that_fits():
    shapes = [(20, 1, 5, 5), (50, 20, 5, 5), (500, 800), (10, 500)]
    total = sum(math.prod(shape) for shape in shapes)

    def parameters(rank):
        sizes = [(20, 25), (50, 500), (500, 800), (10, 500)]
        return sum(min(rank, m, n) * (m + n) for m, n in sizes)

    for share in (0.02, 0.05, 0.1, 0.3):
        rank = common_rank("matrix", shapes, share)
        assert parameters(rank) <= share * total < parameters(rank + 1)
    assert common_rank("matrix", shapes, 1e-6) == 1


def test_augmented_images_are_shifted_and_mirrored():
    inputs = torch.rand(40, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    made = augmented(inputs, torch.Generator().manual_seed(1))
    padded = nn.functional.pad(inputs, (4, 4, 4, 4))
    seen = set()
    for image, new in zip(padded, made, strict=True):
        matches = [
            (row, column, mirrored)
            for row in range(9)
            for column in range(9)
            for mirrored in (False, True)
            if torch.equal(new, image[:, row : row + 8, column : column + 8].flip(2 if mirrored else ()))
        ]
        assert len(matches) == 1
        seen.add(matches[0])
    assert {mirrored for _, _, mirrored in seen} == {False, True}
    assert len({row for row, _, _ in seen}) > 5


def test_the_recipe_is_chosen_by_what_was_held_out():
    rows = [
        _row(seed=0, rate=0.1, accuracy=99, held_out=80),
        _row(seed=1, rate=0.1, accuracy=99, held_out=82),
        _row(seed=0, rate=0.2, accuracy=91, held_out=90),
        _row(seed=1, rate=0.2, accuracy=94, held_out=70, compression=93),
        _row(seed=0, rate=0.3, accuracy=97, held_out=85),
        _row(seed=1, rate=0.3, accuracy=93, held_out=79, compression=97),
    ]
    (point,) = points(rows)
    assert (point.learning_rate, point.accuracy, point.compression, point.seeds) == (0.3, 95, 96, 2)
    assert point.deviation == pytest.approx(math.sqrt(8))
    assert point.error == pytest.approx(2)


def test_accuracy_between_points_is_linear_in_the_logarithm_of_what_is_kept():
    line = points(
        [
            _row("cp", 0.1, accuracy=90, compression=90),
            _row("cp", 0.01, accuracy=70, compression=99),
            _row("dense", 1.0, accuracy=98, compression=0),
        ]
    )
    assert accuracy_at(line, 90) == 90
    assert accuracy_at(line, 100 - 10**0.5) == pytest.approx(80)
    assert accuracy_at(line, 100 - 10**1.5) == pytest.approx(94)
    assert accuracy_at(line, 99.9) == 70  # beyond the last point: that of the last point
    values = [accuracy_at(line, compression) for compression in range(100)]
    assert all(less >= more for less, more in pairwise(values))


def test_the_margin_is_the_worst_at_high_compression():
    rows = [
        _row("tdlrt", 0.1, accuracy=50, compression=80),  # below 90 %: not judged
        _row("tdlrt", 0.2, accuracy=95, compression=90),
        _row("tdlrt", 0.3, accuracy=75, compression=99),
        _row("cp", 0.1, accuracy=90, compression=90),
        _row("cp", 0.01, accuracy=76, compression=99),
        _row("matrix", 0.1, accuracy=94, compression=90),
        _row("matrix", 0.01, accuracy=60, compression=99),
        _row("dense", 1.0, accuracy=98, compression=0),
    ]
    assert margin(_records(rows), "lenet5", ("cp",)) == pytest.approx(-1)
    assert margin(_records(rows), "lenet5", ("matrix",)) == pytest.approx(1)
    assert margin(_records(rows), "lenet5", ("matrix", "cp")) == pytest.approx(-1)
    with pytest.raises(NotRun, match="90 %"):
        margin(_records([rows[0], *rows[3:]]), "lenet5", ("cp",))
    with pytest.raises(NotRun):
        margin(_records(rows), "small_vgg", ("cp",))
    records = _records(rows)
    with pytest.raises(NotRun, match="1 of"):
        margin(Records(records.cases, [row for row in rows if row["point"] != 0.3]), "lenet5", ("cp",))


def test_deviations_need_two_seeds():
    rows = [_row("tdlrt", 0.1, seed=seed, accuracy=accuracy) for seed, accuracy in ((0, 90), (1, 92))] + [
        _row("cp", 0.1, seed=seed, accuracy=accuracy) for seed, accuracy in ((0, 90), (1, 96))
    ]
    value = deviation(_records(rows), "lenet5", ("cp",))
    assert value == pytest.approx(math.sqrt(2) - math.sqrt(18))
    with pytest.raises(NotRun, match="two seeds"):
        deviation(_records(rows[::2]), "lenet5", ("cp",))


def test_a_published_point_is_compared_at_no_lower_compression():
    rows = [
        _row("tdlrt", 0.1, accuracy=99, compression=90),
        _row("tdlrt", 0.2, accuracy=98.5, compression=92),
        _row("tdlrt", 0.3, accuracy=98.8, compression=97),
    ]
    value = published_margin(_records(rows), "lenet5", 91.0, 98.2, lambda case: case["images"] is None)
    assert value == pytest.approx(0.3)
    with pytest.raises(NotRun, match="98 %"):
        published_margin(_records(rows), "lenet5", 98.0, 98.2, lambda case: True)
    with pytest.raises(NotRun, match="size"):
        published_margin(_records(rows), "lenet5", 91.0, 98.2, lambda case: case["images"] == 5)


def test_published_points_are_percentages_in_order():
    assert {entry.network for entry in PUBLISHED} <= set(NETWORKS)
    for entry in PUBLISHED:
        compressions = [compression for compression, _ in entry.points]
        assert compressions == sorted(compressions)
        assert all(0 <= compression < 100 and 50 < accuracy < 100 for compression, accuracy in entry.points)


def _tiny_run():
    parameters = {"seed": 0, "networks": {"lenet5": {**_TINY, "shares": [0.1]}, "vgg16": _TINY}}
    study = COMPRESSION_CURVE
    run = StudyRun(study=study.name, size="tiny", parameters=parameters)
    return run_study(study, run, Setting())


def test_a_tiny_run_decides_what_it_can(few_images):
    study, run = COMPRESSION_CURVE, _tiny_run()
    records = run.records(study)
    assert len(run.rows) == 2 * 7
    assert {missing.case["network"] for missing in run.missing} == {"vgg16"}
    findings = {finding.name: finding for finding in judge(study.checks, records)}
    compressions = [point.compression for point in points(records.found(method="tdlrt"))]
    decided = {name for name, finding in findings.items() if finding.holds is not None}
    others = {f"lenet5 {name}" for name in ("matrix", "tucker", "cp", "snip", "magnitude")}
    if max(compressions) >= 90:
        assert others <= decided
    assert all(name.startswith("lenet5") for name in decided)
    assert all(finding.reason for name, finding in findings.items() if name not in decided)
    assert findings["vgg16 factors"].reason == f"{2} of {2} cases have not been run"
    assert findings["lenet5 97 %"].reason == "not part of this size"
    for rows in (run.rows, run.rows[::3], run.rows[:1], ()):
        partial = Records(records.cases, rows)
        shown = study.tables(partial)
        measured = [table for table in shown if table.title in ("LeNet-5 on MNIST", "VGG-16 on CIFAR-10")]
        assert len(measured) == 2
        assert sum(int(row["trainings"].split()[0]) for table in measured for row in table.rows) == len(rows)
        published = [table for table in shown if "published" in table.title]
        assert [len(table.rows) for table in published] == [9, 26]
        figure = Figure(layout="constrained")
        study.plot(partial, figure)
        assert len(figure.axes) == 2
