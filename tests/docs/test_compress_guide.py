"""What the guide to compression shows is true: its blocks run, its figures are those the code gives."""

import pickle
import re

import pytest
import torch
from tests.docs.pages import Shown, blocks_of, labels, text_of
from torch import nn

import rankfold

PAGE = "docs/compress.md"
GUIDE = text_of(PAGE)
TEXT = " ".join(GUIDE.split())
PRINTED, ON_CONSOLE = (block.text for block in blocks_of(PAGE) if block.language == "text")


def size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def figure(pattern: str, text: str = TEXT) -> float:
    (found,) = re.findall(pattern, text)
    return float(found.replace(",", ""))


def test_the_table_is_the_one_printed(shown: Shown) -> None:
    compression = shown["compression"]
    table = str(compression)
    assert table.splitlines()[0].split() == PRINTED.splitlines()[0].split()
    assert labels(table) == labels(PRINTED)
    assert size(shown["model"]) == compression.parameters_before == figure(r"([\d,]+) ->", PRINTED)
    assert size(shown["small"]) == compression.parameters_after <= 0.1 * compression.parameters_before
    assert compression.parameters_after == pytest.approx(figure(r"-> ([\d,]+)", PRINTED), rel=0.02)
    assert all(type(module).__module__.startswith("torch.") for module in shown["small"].modules())


def test_calibration_pays(shown: Shown) -> None:
    patterns = {
        "model": r"network is right in (\d+) %",
        "blind": r"gives (\d+) % without calibration",
        "small": r"without calibration, (\d+) % with it",
        "tuned": r"and (\d+) % after four",
    }
    found = {name: 100 * shown["accuracy"](shown[name]) for name in patterns}
    for (
        name,
        pattern,
    ) in patterns.items():  # one of 497 digits is 0.2 points, and training multiplies rounding
        assert found[name] == pytest.approx(figure(pattern), abs=3), name
    assert found["blind"] < found["small"] < found["tuned"]
    assert "after four more epochs" in TEXT
    assert "epochs=4" in GUIDE


def test_a_budget_that_is_faster_is_kept(shown: Shown) -> None:
    assert shown["faster"].share <= 0.5
    assert size(shown["wide"]) == shown["faster"].parameters_after


def test_files_run_alone(shown: Shown) -> None:
    wanted = shown["small"](shown["images"][1300:])
    torch.testing.assert_close(torch.from_numpy(shown["scores"]), wanted, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(shown["same"], wanted, rtol=1e-4, atol=1e-4)


def test_a_pickle_names_this_library_for_attention_only(shown: Shown) -> None:
    assert b"rankfold" not in pickle.dumps(shown["small"])
    encoder = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    inputs = torch.randn(2, 5, 16)
    rankfold.compress(encoder, 2, include="linear.")
    assert b"rankfold" not in pickle.dumps(encoder)
    assert type(encoder.linear1) is nn.Sequential
    assert encoder(inputs).shape == inputs.shape
    rankfold.compress(encoder, 2, include="self_attn.*")
    assert type(encoder.self_attn) is rankfold.layers.SplitAttention
    assert b"rankfold" in pickle.dumps(encoder)
    assert encoder(inputs).shape == inputs.shape


def test_the_stored_factors_are_taken_up(shown: Shown) -> None:
    assert shown["records"]["6"].ranks == shown["again"][6].ranks == (8, 8)
    wanted = shown["again"](shown["images"])
    for name in ("plain", "quick"):
        assert not any(isinstance(m, rankfold.layers.FactorizedLayer) for m in shown[name].modules())
        torch.testing.assert_close(shown[name](shown["images"]), wanted, rtol=1e-4, atol=1e-4)


def test_what_is_said_of_arguments(shown: Shown) -> None:
    inputs = torch.randn(30, 12)
    for training in (True, False):
        model = nn.Sequential(nn.Linear(12, 20), nn.BatchNorm1d(20), nn.Linear(20, 10)).train(training)
        rankfold.compress(model, 0.1, calibration=iter([inputs]), refit=False, fold=False)
        assert model.training is training
        assert model[0].ranks == (1, 1)  # a tenth of 12
        assert model[2].ranks == (1, 1)
        assert not [row for row in rankfold.compress(model, 1) if row.ranks]  # factorised already
    with pytest.raises(rankfold.OptionError, match="EVBMF"):
        rankfold.compress(shown["network"](), rankfold.EVBMF(), calibration=[shown["images"][:10]])
    for selection in ({"exclude": "8"}, {"include": nn.Linear}):
        assert f"`{next(iter(selection))}=" in GUIDE
        assert rankfold.compress(shown["network"](), 0.5, **selection).skipped


def test_what_is_left_dense() -> None:
    class Own(nn.Linear):
        pass

    model = nn.Sequential(
        nn.Conv2d(4, 4, 3, groups=4),
        nn.utils.parametrizations.weight_norm(nn.Linear(8, 8)),
        nn.Linear(64, 1),
        nn.Embedding(30, 8),
        nn.Linear(8, 30),
        Own(8, 8),
        nn.GRU(8, 8),
        nn.Bilinear(4, 4, 4),
    )
    model[4].weight = model[3].weight
    rows = {row.name: row.reason for row in rankfold.compress(model, 2, exclude="4", fold=False)}
    assert rows.keys() == set("012345")
    for name, reason in zip(
        "01235",
        ("depthwise", "computed", "has rank 1 as it is", "shares its weight with", "subclass"),
        strict=True,
    ):
        assert reason in str(rows[name])
        assert reason in GUIDE.split("## What is left dense")[1]


def test_command_line(shown: Shown) -> None:
    _, reference, own, inspected, reported = shown.printed.values()
    assert labels(reference) == labels(ON_CONSOLE)
    for text in (ON_CONSOLE, reference):
        (before, after, share) = re.findall(r"parameters +([\d,]+) +([\d,]+) +([\d.]+)%", text)[0]
        assert before == "431,080"
        assert int(after.replace(",", "")) <= 43108
        assert float(share) <= 10
    accuracies = [
        re.findall(r"test samples +([\d.]+)% +([\d.]+)%", text)[0] for text in (ON_CONSOLE, reference)
    ]
    for claimed, found in zip(*accuracies, strict=True):
        assert float(found) == pytest.approx(float(claimed), abs=4)
    assert "Linear" in own
    assert (shown.folder / "net-compressed.safetensors").is_file()
    assert "parameters" in inspected
    assert reported == "page: report.html\n"
    page = (shown.folder / "report.html").read_text(encoding="utf-8")
    for name in ("Compressions side by side", "Accuracy against parameters", "Time of each layer"):
        assert name in page
