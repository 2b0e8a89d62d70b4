"""What every regulariser keeps, over forms of weights, optimisers and initialisers."""

from typing import ClassVar

import pytest
import torch
from torch import nn

from rankfold._errors import OptionError, RankfoldError
from rankfold.init import INITIALIZERS
from rankfold.regularize import Regularizer
from rankfold.testing._combinations import FORMS, OPTIMIZERS, combine
from rankfold.training import INTEGRATORS

__all__ = ["RegularizerContract"]


class RegularizerContract:
    """Tests of one regulariser; a subclass named ``Test...`` sets ``regularizer`` and inherits them.

    What it says it cannot be combined with must be refused by an error of this library, and everything else must train.
    """

    regularizer: ClassVar[Regularizer]

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "optimizer" in metafunc.fixturenames:
            metafunc.parametrize("optimizer", OPTIMIZERS)
        if "form" in metafunc.fixturenames:
            metafunc.parametrize("form", FORMS)
        if "usable" in metafunc.fixturenames:
            metafunc.parametrize(
                "usable", [f for f in FORMS if not self.regularizer.reason_against(f, "sgd")]
            )

    def test_combinations(self, form: str, optimizer: str) -> None:
        initializers = list(INITIALIZERS) if FORMS[form].has_ranks else [None]
        reason = self.regularizer.reason_against(form, optimizer)
        for initializer in initializers:
            outcome = combine(form, self.regularizer, optimizer, initializer)
            if reason is not None:
                assert outcome.refused is not None, f"{initializer} trains, but is said not to: {reason}"
                continue
            assert outcome.refused is None, outcome.refused
            assert all(loss < float("inf") for loss in outcome.losses)
            assert outcome.losses[-1] < outcome.losses[0]
            assert outcome.moved
            adaptive = optimizer in INTEGRATORS and INTEGRATORS[optimizer].adaptive
            assert (len(outcome.ranks) > 1) == (adaptive and form == "tucker")

    def test_it_can_be_combined_with_something(self) -> None:
        free = [(f, o) for f in FORMS for o in OPTIMIZERS if self.regularizer.reason_against(f, o) is None]
        assert free

    def test_reasons_are_sentences_about_what_there_is(self) -> None:
        record = self.regularizer
        assert record.summary
        assert record.source
        for exclusion in record.excludes:
            assert exclusion.reason
            assert not exclusion.reason.endswith(".")
            assert set(exclusion.optimizers) <= set(OPTIMIZERS)
            assert set(exclusion.forms) & set(FORMS) or not exclusion.forms

    def test_the_loss_term_is_finite_and_not_negative(self, usable: str) -> None:
        layer = FORMS[usable].layer()
        term = self.regularizer.attach(layer, 0.5)
        if term is None:
            return
        value = term()
        assert value.shape == ()
        assert value.dtype == torch.float32
        assert bool(value.isfinite())
        assert float(value.detach()) >= 0
        value.backward()
        gradients = [p.grad for p in layer.parameters() if p.grad is not None]
        assert gradients
        assert all(bool(gradient.isfinite().all()) for gradient in gradients)

    def test_the_function_stays_as_it_is_when_it_is_attached(self, usable: str) -> None:
        layer = FORMS[usable].layer().eval()
        inputs = torch.randn(5, 8)
        before = layer(inputs)
        self.regularizer.attach(layer, 0.5)
        torch.testing.assert_close(layer(inputs), before, rtol=1e-5, atol=1e-6)

    def test_a_model_without_anything_to_act_on_is_refused(self) -> None:
        with pytest.raises(OptionError, match="model"):
            self.regularizer.attach(nn.ReLU(), 0.1)

    def test_strengths_that_are_none(self, usable: str) -> None:
        for strength in (-0.1, float("nan")):
            with pytest.raises(RankfoldError):
                self._first_loss(usable, strength)

    def _first_loss(self, usable: str, strength: float) -> None:
        """A strength may be refused at once, or with the first loss."""
        term = self.regularizer.attach(FORMS[usable].layer(), strength)
        assert term is not None
        term()
