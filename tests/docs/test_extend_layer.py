"""The guide to layers: a decoder for sound, converted, trained, folded and compressed."""

import pytest
from tests.docs.extend import Guide

PAGE = "docs/extend/layer.md"


@pytest.fixture(scope="module")
def guide(tmp_path_factory: pytest.TempPathFactory) -> Guide:
    return Guide(PAGE, tmp_path_factory.mktemp("guide"))


def test_it_works_and_prints_what_is_shown(guide: Guide) -> None:
    compare, compress = guide.commands
    printed = guide.run(compare)
    assert printed.startswith(guide.outputs[0])
    assert "(1): ConvTranspose1d(" in printed
    assert "ConvTranspose1d" in guide.run(compress)
    assert (guide.folder / "net-compressed.safetensors").is_file()
