"""Names of layers in PEFT folders: compared as PEFT does, if they are harmless."""

import pytest

from rankfold.adapters._peft_patterns import matched, reason_to_refuse


@pytest.mark.parametrize(
    ("patterns", "name", "expected"),
    [
        ({"q_proj": 4}, "layers.0.q_proj", 4),
        ({"q_proj": 4}, "layers.0.xq_proj", 8),
        ({"^layers.0.q_proj": 4}, "layers.0.q_proj", 4),
        ({"^q_proj": 4}, "layers.0.q_proj", 8),
        ({r"layers\.\d+\.self_attn\..*": 4}, "model.layers.11.self_attn.v_proj", 4),
        ({"layers.[0-4].mlp.(up|down)_proj": 4}, "layers.3.mlp.down_proj", 4),
        ({"layers.[0-4].mlp.(up|down)_proj": 4}, "layers.5.mlp.down_proj", 8),
        ({"a": 1, ".*": 2}, "b", 2),
    ],
)
def test_patterns_are_read_as_peft_reads_them(patterns, name, expected):
    assert reason_to_refuse(patterns) is None
    assert matched(patterns, name, 8) == expected


@pytest.mark.parametrize(
    "key",
    [
        "([a-z0-9.]+)+#",
        "(a|a)(a|a)",
        "((a))",
        "a?a?a?a",
        "(.*)*",
        ".*.*.*",
        r"(a)\1",
        "(?=a)",
        "[^a]*",
        "a{1,99}",
        "a++",
        "(",
        "[z-a]",
        "x" * 501,
        "a\nb",
    ],
)
def test_no_folder_chooses_a_slow_expression(key):
    assert "is more than a name" in reason_to_refuse({key: 1})


def test_no_folder_has_many_repetitions():
    assert reason_to_refuse({f"{number}.*": 1 for number in range(32)}) is None
    assert "have repetitions" in reason_to_refuse({f"{number}.*": 1 for number in range(33)})
