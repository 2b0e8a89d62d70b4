from torch import nn

from rankfold import Conversion, ConvertedLayer, factorize


def test_numbers() -> None:
    model = nn.Sequential(nn.Linear(100, 50), nn.Conv2d(8, 16, 3), nn.Linear(50, 1))
    conversion = factorize(model, 5)
    assert [(row.name, row.kind, row.shape, row.ranks) for row in conversion] == [
        ("0", "Linear", (50, 100), (5, 5)),
        ("1", "Conv2d", (16, 8, 3, 3), (5, 5, 3, 3)),
        ("2", "Linear", (1, 50), None),
    ]
    assert [row.parameters_before for row in conversion] == [5000, 1152, 50]
    assert [row.parameters_after for row in conversion] == [
        50 * 5 + 25 + 100 * 5,
        16 * 5 + 25 * 9 + 8 * 5,
        50,
    ]
    assert conversion.compression == 1 - (775 + 345) / (5000 + 1152)
    for row in conversion.converted:
        layer = model.get_submodule(row.name)
        held = sum(p.numel() for name, p in layer.named_parameters() if name != "bias")
        assert row.parameters_after == held
    assert len(conversion.converted) == 2
    assert len(conversion.skipped) == 1


def test_ranks_that_cost_more_than_they_save() -> None:
    assert factorize(nn.Sequential(nn.Linear(4, 4)), 1.0).compression == 1 - 48 / 16


def test_text() -> None:
    rows = (
        ConvertedLayer(
            name="a.b",
            kind="Conv2d",
            shape=(160, 8, 3, 3),
            ranks=(4, 4, 3, 3),
            parameters_before=11520,
            parameters_after=816,
        ),
        ConvertedLayer(
            name="c",
            kind="Linear",
            shape=(1, 9),
            ranks=None,
            parameters_before=9,
            parameters_after=9,
            reason="its weight has rank 1 as it is",
        ),
    )
    assert str(Conversion(rows)).splitlines() == [
        "layer  kind    shape      ranks    before  after  note",
        "a.b    Conv2d  160x8x3x3  4x4x3x3  11,520    816",
        "c      Linear  1x9        -             9      9  its weight has rank 1 as it is",
        "1 of 2 layers factorised, 92.9% fewer parameters in them",
    ]
    checked = str(Conversion(rows, parity_error=1.25e-7, output_change=0.03125))
    assert checked.splitlines()[-1] == "parity error 1.2e-07, output change 3.1e-02"


def test_text_of_nothing() -> None:
    assert str(Conversion(())).splitlines() == [
        "layer  kind  shape  ranks  before  after  note",
        "0 of 0 layers factorised, 0.0% fewer parameters in them",
    ]
