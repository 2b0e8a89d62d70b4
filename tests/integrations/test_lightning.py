"""TDLRT under Lightning's own trainer, which is imported as the tests run: it takes seconds."""

import logging
import warnings

import pytest
import torch
from tests.integrations.examples import changed_lines, run_example
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import rankfold as rf

# Of Lightning itself: a call of torch that is deprecated, and advice about workers, short epochs and folders.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*your dataloader is not resumable.*"),
    pytest.mark.filterwarnings("ignore:.*have no `val_dataloader`.*"),
    pytest.mark.filterwarnings("ignore:.*smaller than the logging interval.*"),
    pytest.mark.filterwarnings("ignore:.*Checkpoint directory .* exists and is not empty.*"),
]


@pytest.fixture(scope="module")
def kit():
    """The trainer, a module that a user might write, and the callback."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lightning = pytest.importorskip("lightning.pytorch", reason="lightning is not installed")
        from rankfold.integrations import LightningCallback
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Net(lightning.LightningModule):
        style = "optimiser"

        def __init__(self, rank=0.9, inner=torch.optim.Adam, **options):
            super().__init__()
            torch.manual_seed(0)
            self.net = nn.Sequential(
                nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 16), nn.ReLU(), nn.Linear(16, 2)
            )
            rf.factorize(self.net, rank, rescale=True)
            self.inner, self.options = inner, {"lr": 5e-3, "core_steps": 3, "tolerance": 0.3, **options}
            self.calls, self.ranks_seen, self.norms = 0, [], []

        def training_step(self, batch, batch_idx):
            self.calls += 1
            loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
            self.log("loss", loss)
            return loss

        def validation_step(self, batch, batch_idx):
            self.ranks_seen.append(self.net[3].ranks)
            self.log("val", nn.functional.cross_entropy(self.net(batch[0]), batch[1]))

        def note_norm(self, inner, *arguments):
            used = [p.grad for group in inner.param_groups for p in group["params"] if p.grad is not None]
            self.norms.append(float(nn.utils.get_total_norm(used)))

        def configure_optimizers(self):
            optimizer = rf.TDLRT(self, self.inner, **self.options)
            optimizer.inner.register_step_pre_hook(self.note_norm)
            schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
            return {
                "optimiser": optimizer,
                "lists": ([optimizer], [schedule]),
                "dictionary": {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule}},
            }[self.style]

    def trainer(folder, **options):
        usual = {
            "accelerator": "cpu",
            "callbacks": [LightningCallback()],
            "enable_checkpointing": False,
            "enable_model_summary": False,
            "enable_progress_bar": False,
            "logger": False,
            "max_epochs": 2,
        }
        return lightning.Trainer(default_root_dir=folder, **{**usual, **options})

    kit = type("Kit", (), {})()
    kit.lightning, kit.Net, kit.trainer, kit.Callback = lightning, Net, trainer, LightningCallback
    return kit


def loader(count=10, repeated=False):
    images = torch.randn(10 * count, 1, 6, 6, generator=torch.Generator().manual_seed(5))
    if repeated:
        images = images[:10].repeat(count, 1, 1, 1)
    return DataLoader(TensorDataset(images, (images.mean((1, 2, 3)) > 0).long()), batch_size=10)


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def by_hand(model, epochs=2, every=1, clip=None):
    """The same training in a plain loop."""
    optimizer = rf.TDLRT(model, model.inner, **model.options)
    for _ in range(epochs):
        for number, (x, y) in enumerate(loader()):
            if number % every == 0:
                optimizer.zero_grad()
            nn.functional.cross_entropy(model.net(x), y).div(every).backward()
            if number % every == every - 1:
                if clip:
                    optimizer.clip_grad_norm_(clip)
                optimizer.step()
        optimizer.truncate()
    return optimizer


@pytest.mark.parametrize(
    ("core_steps", "every", "clip"), [(1, 1, None), (1, 2, 0.05), (3, 1, 0.05), (3, 2, None)]
)
def test_the_trainer_trains_as_a_plain_loop_does(kit, tmp_path, core_steps, every, clip):
    options = {"core_steps": core_steps, "accumulate": every > 1}
    plain, module = kit.Net(**options), kit.Net(**options)
    records = by_hand(plain, every=every, clip=clip).records
    trainer = kit.trainer(tmp_path, accumulate_grad_batches=every, gradient_clip_val=clip)
    trainer.fit(module, loader())
    assert same(weights(plain), weights(module))
    assert module.calls == 20  # of 2 x 10 batches none was evaluated twice
    assert trainer.gradient_clip_val == clip
    assert module.net[3].ranks != kit.Net().net[3].ranks  # ranks did change
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    assert metrics["rankfold/rank/net.3/mode_1"] == records["net.3"].ranks[1]
    cores = [layer for layer in module.net if hasattr(layer, "core")]
    assert metrics["rankfold/parameters"] == sum(p.numel() for la in cores for p in la.parts.values())
    assert metrics["rankfold/compression"] == pytest.approx(
        1 - metrics["rankfold/parameters"] / sum(la.weight.numel() for la in cores)
    )


def test_clipping_leaves_bases_out(kit, tmp_path):
    module = kit.Net()
    kit.trainer(tmp_path, gradient_clip_val=0.05, max_epochs=1).fit(module, loader())
    assert max(module.norms) == pytest.approx(0.05, rel=1e-4)


def test_a_clipping_of_the_users_own_stays_theirs(kit, tmp_path):
    class Own(kit.Net):
        def configure_gradient_clipping(
            self, optimizer, gradient_clip_val=None, gradient_clip_algorithm=None
        ):
            assert gradient_clip_val == 0.5
            optimizer.clip_grad_norm_(0.03)

    module = Own()
    kit.trainer(tmp_path, gradient_clip_val=0.5, max_epochs=1).fit(module, loader())
    assert max(module.norms) == pytest.approx(0.03, rel=1e-4)


@pytest.mark.parametrize("style", ["lists", "dictionary"])
def test_every_way_to_return_the_optimiser(kit, tmp_path, style):
    module = kit.Net()
    module.style = style
    trainer = kit.trainer(tmp_path)
    trainer.fit(module, loader())
    assert trainer.optimizers[0].inner.param_groups[0]["lr"] == pytest.approx(5e-3 / 4)


def test_validation_in_the_middle_of_a_cycle_sees_exact_ranks(kit, tmp_path):
    for callback, most in ((kit.Callback(), 8), (kit.lightning.Callback(), 16)):  # with ours, and without
        module = kit.Net(rank=0.5)
        trainer = kit.trainer(tmp_path, val_check_interval=5, callbacks=[callback])
        trainer.fit(module, loader(), loader(1))
        assert len(module.ranks_seen) == 5  # one of them before the training
        assert max(ranks[0] for ranks in module.ranks_seen) == most


@pytest.mark.parametrize("where", ["epoch", "cycle"])
def test_a_checkpoint_with_other_ranks_resumes_bit_for_bit(kit, tmp_path, where):
    """At the end of an epoch, and in the middle of a cycle, whose pending cut is kept in the state.

    In the middle of an epoch Lightning begins with the first batch again, so there all batches are the same.
    """
    data = loader() if where == "epoch" else loader(repeated=True)
    steps = 10 if where == "epoch" else 7
    keeping = {"every_n_epochs": 1} if where == "epoch" else {"every_n_train_steps": 7}

    def saving():
        keep = kit.lightning.callbacks.ModelCheckpoint(tmp_path, filename="{step}", save_top_k=-1, **keeping)
        return kit.trainer(tmp_path, enable_checkpointing=True, callbacks=[keep, kit.Callback()])

    whole = kit.Net()
    saving().fit(whole, data)
    module = kit.Net(rank=0.2)
    trainer = saving()
    trainer.fit(module, data, ckpt_path=tmp_path / f"step={steps}.ckpt", weights_only=True)
    assert trainer.global_step == 20
    assert same(weights(whole), weights(module))
    loaded = kit.Net.load_from_checkpoint(tmp_path / f"step={steps}.ckpt", rank=0.1, weights_only=True)
    assert loaded.net[3].ranks[0] > kit.Net(rank=0.1).net[3].ranks[0]


@pytest.mark.parametrize("scaled", [False, True], ids=["bf16", "fp16-with-scaler"])
def test_mixed_precision(kit, tmp_path, scaled):
    from lightning.pytorch.plugins import MixedPrecision

    # The trainer's "16-mixed" becomes bf16 on a processor, so the scaler comes as a plugin.
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    how = {"plugins": MixedPrecision("16-mixed", "cpu", scaler)} if scaled else {"precision": "bf16-mixed"}
    module = kit.Net()
    trainer = kit.trainer(tmp_path, gradient_clip_val=0.05, max_epochs=2, **how)
    trainer.fit(module, loader())
    assert module.calls == 20
    assert max(module.norms) == pytest.approx(0.05, rel=1e-2)
    assert float(trainer.callback_metrics["loss"]) < 0.69
    assert module.net[3].tucker.orthonormality_defect() < 1e-5


def test_manual_optimisation(kit, tmp_path):
    class Manual(kit.Net):
        def training_step(self, batch, batch_idx):
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(nn.functional.cross_entropy(self.net(batch[0]), batch[1]))
            optimizer.clip_grad_norm_(0.05)
            optimizer.step()

    for core_steps in (1, 3):
        plain, module = kit.Net(core_steps=core_steps), Manual(core_steps=core_steps)
        module.automatic_optimization = False
        by_hand(plain, clip=0.05)
        kit.trainer(tmp_path).fit(module, loader())
        assert same(weights(plain), weights(module))


def test_several_optimisers_log_under_names_of_their_own(kit, tmp_path):
    class Two(kit.Net):
        def configure_optimizers(self):
            self.automatic_optimization = False
            self.critic = nn.Sequential(nn.Flatten(), nn.Linear(36, 2))
            rf.factorize(self.critic, 3)
            return [rf.TDLRT(part, torch.optim.SGD, lr=0.1) for part in (self.net, self.critic)]

        def training_step(self, batch, batch_idx):
            for optimizer, part in zip(self.optimizers(), (self.net, self.critic), strict=True):
                optimizer.zero_grad()
                self.manual_backward(nn.functional.cross_entropy(part(batch[0]), batch[1]))
                optimizer.step()

    trainer = kit.trainer(tmp_path, max_epochs=1)
    trainer.fit(Two(), loader())
    found = [trainer.callback_metrics[f"rankfold/{number}/parameters"] for number in (0, 1)]
    assert found[0] > found[1] > 0


def test_trial_runs_early_stopping_and_the_search_for_a_rate(kit, tmp_path):
    module = kit.Net()
    kit.trainer(tmp_path, fast_dev_run=2).fit(module, loader(), loader(1))
    assert module.calls == 2
    stop = kit.lightning.callbacks.EarlyStopping("rankfold/parameters", stopping_threshold=1e9)
    trainer = kit.trainer(tmp_path, callbacks=[kit.Callback(), stop], max_epochs=50)
    trainer.fit(kit.Net(), loader())
    assert trainer.current_epoch < 50
    module = kit.Net()
    module.lr = 0.1
    before = weights(module)
    trainer = kit.trainer(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the finder, about a scheduler of its own
        from lightning.pytorch.tuner import Tuner

        found = Tuner(trainer).lr_find(module, loader(), num_training=12, update_attr=False)
    assert len(found.results["lr"]) > 5
    assert same(before, weights(module))  # with the ranks that it had
    trainer.fit(module, loader())
    assert module.net[3].ranks != kit.Net().net[3].ranks


def test_what_cannot_go_with_it_is_refused(kit, tmp_path):
    module = kit.Net()
    module.configure_optimizers = lambda: torch.optim.SGD(module.parameters(), lr=0.1)
    with pytest.raises(rf.OptimizerError, match=r"returned no rankfold\.TDLRT"):
        kit.trainer(tmp_path).fit(module, loader())
    for kind in ("StochasticWeightAveraging", "EMAWeightAveraging"):
        averaging = getattr(kit.lightning.callbacks, kind)(**({"swa_lrs": 0.1} if kind[0] == "S" else {}))
        with pytest.raises(rf.OptionError, match=f"{kind} averages cores and bases"):
            kit.trainer(tmp_path, callbacks=[kit.Callback(), averaging]).fit(kit.Net(), loader())
    with pytest.raises(rf.OptionError, match="clip by 'norm'"):
        kit.trainer(tmp_path, gradient_clip_val=1.0, gradient_clip_algorithm="value").fit(kit.Net(), loader())


def test_a_script_gains_it_by_five_lines(kit, tmp_path, monkeypatch):
    assert changed_lines("lightning") <= 5
    trainer = run_example("lightning/low_rank.py", "--epochs", "4", "--out", str(tmp_path))
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    assert metrics["val_accuracy"] > 0.6
    assert metrics["rankfold/compression"] > 0.3
    assert metrics["rankfold/rank/net.6/mode_0"] < 64  # half of 128 columns, at which it began


def test_a_validation_between_accumulated_batches_loses_no_gradient(kit, tmp_path):
    options = {"core_steps": 2, "inner": torch.optim.SGD}
    plain, module = kit.Net(**options), kit.Net(**options)
    by_hand(plain, every=5)
    trainer = kit.trainer(tmp_path, accumulate_grad_batches=5, val_check_interval=3)
    trainer.fit(module, loader(), loader(1))
    assert same(weights(plain), weights(module))


def test_a_training_that_failed_leaves_the_trainer_as_it_was(kit, tmp_path):
    class Failing(kit.Net):
        def training_step(self, batch, batch_idx):
            if self.calls == 3:
                raise ZeroDivisionError
            return super().training_step(batch, batch_idx)

    module = Failing()
    trainer = kit.trainer(tmp_path, gradient_clip_val=0.05)
    with pytest.raises(ZeroDivisionError):
        trainer.fit(module, loader())
    assert trainer.gradient_clip_val == 0.05
    module.calls = -100
    trainer.fit(module, loader())
    assert max(module.norms) == pytest.approx(0.05, rel=1e-4)
