"""The loop of the command line."""

import pytest
import torch
from tests.training.networks import same, snapshot, tdlrt
from torch import nn

from rankfold import factorize
from rankfold.data import batches
from rankfold.training import Progress, evaluate, fit


def setting(dense: bool = False):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 3))
    if dense:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    else:
        factorize(model, 0.5)
        optimizer = tdlrt(model, tolerance=0.05)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 10, 0.5)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(100, 12, generator=generator)
    return model, optimizer, scheduler, x, x[:, :3].argmax(1)


def run(model, optimizer, scheduler, x, y, *, epochs, progress, after_batch=None):
    def feed(epoch, skip):
        return batches(x, y, 16, generator=torch.Generator().manual_seed(epoch), skip=skip)

    options = {"epochs": epochs, "progress": progress, "scheduler": scheduler, "after_batch": after_batch}
    return list(fit(model, optimizer, feed, (x, y), **options))


@pytest.mark.parametrize("dense", [False, True])
def test_it_learns_and_reports_each_epoch(dense):
    progress = Progress()
    metrics = run(*setting(dense), epochs=10, progress=progress)
    assert [m.epoch for m in metrics] == list(range(1, 11))
    assert metrics[-1].test_accuracy > 0.6 > metrics[0].train_accuracy
    assert metrics[-1].train_loss < metrics[0].train_loss
    assert progress == Progress(epoch=10)


def test_epochs_end_with_exact_ranks():
    parts = setting()
    run(*parts, epochs=1, progress=Progress())
    assert parts[1].state_dict()["tdlrt"]["core_steps_left"] == 0
    assert parts[1].state_dict()["tdlrt"]["ranks_before"] == {}


@pytest.mark.parametrize("batch", [1, 3, 6])
def test_a_run_stopped_between_batches_goes_on_bit_for_bit(batch):
    whole = setting()
    expected = run(*whole, epochs=3, progress=Progress())

    class StopHereError(Exception):
        pass

    def stop(progress, loss):
        if (progress.epoch, progress.batch) == (1, batch):
            raise StopHereError

    parts, progress = setting(), Progress()
    with pytest.raises(StopHereError):
        run(*parts, epochs=3, progress=progress, after_batch=stop)
    rest = run(*parts, epochs=3, progress=progress)
    assert same(snapshot(whole[0]), snapshot(parts[0]))
    for a, b in zip(expected[1:], rest, strict=True):
        assert (a.train_loss, a.test_loss, a.train_accuracy) == (b.train_loss, b.test_loss, b.train_accuracy)


def test_evaluation_restores_the_training_flag_and_counts_every_sample():
    model, _, _, x, y = setting()
    model.train()
    loss, accuracy = evaluate(model, x, y, batch_size=7)
    assert model.training
    logits = model.eval()(x).detach()
    assert loss == pytest.approx(float(nn.functional.cross_entropy(logits, y)), rel=1e-5)
    assert accuracy == pytest.approx(float((logits.argmax(1) == y).float().mean()))
