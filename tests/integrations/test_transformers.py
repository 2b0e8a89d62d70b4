"""TDLRT under the Trainer of transformers itself, which is imported as the tests run: it takes seconds."""

import math
import warnings

import numpy as np
import pytest
import torch
from tests.integrations.examples import changed_lines, run_example
from torch import nn
from torch.utils.data import IterableDataset

import rankfold as rf

# Of transformers and torchao, whose advice concerns themselves.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*pin_memory.*"),
    pytest.mark.filterwarnings("ignore:.*is an Enum subclass.*"),
]

CLASSES, STEPS, BATCH = 3, 12, 8


class Sentences(IterableDataset):
    """Sentences of eight words, always in the same order; the label is the first word."""

    def __init__(self, batches=STEPS):
        words = torch.randint(0, CLASSES, (BATCH * batches, 8), generator=torch.Generator().manual_seed(1))
        self.samples = [{"input_ids": sentence, "labels": sentence[0]} for sentence in words]

    def __iter__(self):
        return iter(self.samples)

    def batches(self):
        for start in range(0, len(self.samples), BATCH):
            part = self.samples[start : start + BATCH]
            yield {name: torch.stack([sample[name] for sample in part]) for name in part[0]}


@pytest.fixture(scope="module")
def kit():
    """The package, a small model, a trainer of it, and the way in."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers = pytest.importorskip("transformers", reason="transformers is not installed")
        pytest.importorskip("accelerate", reason="accelerate is not installed")
        from rankfold.integrations import attach_tdlrt
    transformers.logging.disable_progress_bar()

    def config():
        return transformers.BertConfig(
            vocab_size=CLASSES,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=8,
            num_labels=CLASSES,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )

    def model(rank=0.5):
        torch.manual_seed(0)
        result = transformers.BertForSequenceClassification(config())
        rf.factorize(result, rank, include=r".*encoder.*", rescale=True)
        return result

    def trainer(folder, net, **options):
        usual = {
            "max_steps": STEPS,
            "per_device_train_batch_size": BATCH,
            "learning_rate": 5e-3,
            "weight_decay": 0.1,
            "optim": "adamw_torch",
            "save_strategy": "no",
            "report_to": "none",
            "use_cpu": True,
            "disable_tqdm": True,
            "logging_steps": 4,
        }
        given = {name: options.pop(name) for name in ("optimizers", "data") if name in options}
        arguments = transformers.TrainingArguments(str(folder), **{**usual, **options})
        data = given.pop("data", None) or Sentences()
        return transformers.Trainer(
            net, arguments, train_dataset=data, eval_dataset=data.samples[:8], **given
        )

    kit = type("Kit", (), {})()
    kit.transformers, kit.config, kit.model, kit.trainer, kit.attach = (
        transformers, config, model, trainer, attach_tdlrt,
    )  # fmt: skip
    return kit


LAYER = "bert.encoder.layer.0.intermediate.dense"
OPTIONS = {"tolerance": 0.3, "core_steps": 3}


def same(one, two):
    one, two = one.state_dict(), two.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def norms_of(optimizer):
    """Norms of the gradients that the inner optimiser gets."""
    norms = []

    def note(inner, *arguments):
        used = [p.grad for group in inner.param_groups for p in group["params"] if p.grad is not None]
        norms.append(float(nn.utils.get_total_norm(used)))

    optimizer.inner.register_step_pre_hook(note)
    return norms


def by_hand(kit, net, trainer, every, **options):
    """The same training in a plain loop, with the groups of the trainer."""
    decaying = set(trainer.get_decay_parameter_names(net))
    named = dict(net.named_parameters())
    groups = [
        {"params": [p for name, p in named.items() if (name in decaying) is decays], "weight_decay": amount}
        for decays, amount in ((True, 0.1), (False, 0.0))
    ]
    optimizer = rf.TDLRT(
        net, torch.optim.AdamW, param_groups=groups, lr=5e-3, betas=(0.9, 0.999), eps=1e-8, **options
    )
    steps = STEPS // every
    schedule = kit.transformers.get_linear_schedule_with_warmup(optimizer, 0, steps)
    net.train()
    for number, batch in enumerate(Sentences().batches()):
        if number % every == 0:
            optimizer.zero_grad()
        net(**batch).loss.backward()  # which the trainer adds up for this model, and does not average
        if number % every == every - 1:
            optimizer.clip_grad_norm_(0.2)
            optimizer.step()
            schedule.step()
    optimizer.truncate()
    return optimizer


@pytest.mark.parametrize(("core_steps", "every"), [(1, 1), (3, 1), (1, 2)])
def test_the_trainer_trains_as_a_plain_loop_does(kit, tmp_path, core_steps, every):
    options = {"tolerance": 0.3, "core_steps": core_steps, "accumulate": every > 1}
    plain, net = kit.model(), kit.model()
    trainer = kit.trainer(
        tmp_path, net, max_grad_norm=0.2, gradient_accumulation_steps=every, max_steps=STEPS // every
    )
    kit.attach(trainer, **options)
    by_hand(kit, plain, trainer, every, **options)
    trainer.train()
    assert same(plain, net)
    assert trainer.args.max_grad_norm == 0.2
    ranks = net.get_submodule(LAYER).ranks
    assert ranks != kit.model().get_submodule(LAYER).ranks
    logged = [entry for entry in trainer.state.log_history if "rankfold/compression" in entry]
    assert logged[-1][f"rankfold/rank/{LAYER}/mode_0"] <= 16
    assert 0 < logged[-1]["rankfold/compression"] < 1
    assert all(math.isfinite(entry.get("grad_norm", 0.0)) for entry in trainer.state.log_history)


def test_clipping_leaves_bases_out_and_bases_get_no_decay(kit, tmp_path):
    trainer = kit.trainer(tmp_path, kit.model(), max_grad_norm=0.05, bf16=True)
    kit.attach(trainer, **OPTIONS)
    optimizer = trainer.create_optimizer()
    norms = norms_of(optimizer)
    trainer.train()
    assert max(norms) == pytest.approx(0.05, rel=1e-4)
    decaying, others = (group["params"] for group in optimizer.inner.param_groups)
    layers = optimizer.layers.values()
    assert {id(layer.core) for layer in layers} <= {id(p) for p in decaying}
    inner = {id(p) for p in [*decaying, *others]}
    assert not any(id(factor) in inner for layer in layers for factor in layer.factors.values())
    assert all(p.ndim == 1 for p in others)
    norms.clear()
    trainer.args.max_grad_norm, trainer.args.max_steps = 0.0, 2  # which no longer clips
    trainer.train()
    assert max(norms) > 0.06
    assert max(float(layer.tucker.orthonormality_defect()) for layer in layers) < 1e-5


def test_a_checkpoint_with_other_ranks_resumes_bit_for_bit(kit, tmp_path):
    data, seen = Sentences(), []
    whole = kit.model()
    trainer = kit.trainer(tmp_path / "a", whole, save_strategy="steps", save_steps=5, data=data)
    kit.attach(trainer, **OPTIONS)  # step 5 lies in the middle of a cycle
    trainer.train()
    net = kit.model(rank=0.2)
    again = kit.trainer(tmp_path / "b", net, data=data, save_strategy="steps", save_steps=5)
    kit.attach(again, **OPTIONS, on_truncation=lambda record: seen.append(record.step))
    again.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-5"))
    assert again.state.global_step == STEPS
    assert min(seen) > 5
    assert same(whole, net)


def test_the_best_model_comes_back_with_its_ranks(kit, tmp_path):
    net = kit.model()
    trainer = kit.trainer(
        tmp_path,
        net,
        eval_strategy="steps",
        eval_steps=3,
        save_strategy="steps",
        save_steps=3,
        load_best_model_at_end=True,
        metric_for_best_model="loss",
        greater_is_better=True,  # so that the best one is an early one
    )
    kit.attach(trainer, **OPTIONS)
    trainer.train()
    best = kit.model(rank=0.1)
    rf.load(best, f"{trainer.state.best_model_checkpoint}/model.safetensors")
    assert trainer.state.best_model_checkpoint.endswith("checkpoint-3")
    assert same(best, net)


def test_folders_of_pretrained_models(kit, tmp_path):
    """In low rank by ``rankfold.load`` into the bare model, and dense for whoever does not know this library."""
    net = kit.model(rank=0.3).eval()
    words = Sentences().samples[0]["input_ids"][None]
    with torch.no_grad():
        wanted = net(words).logits
    net.save_pretrained(tmp_path / "low")
    auto = kit.transformers.AutoModelForSequenceClassification
    bare = auto.from_config(kit.transformers.AutoConfig.from_pretrained(tmp_path / "low")).eval()
    rf.load(bare, tmp_path / "low" / "model.safetensors")
    rf.densify(net).save_pretrained(tmp_path / "dense")
    dense = auto.from_pretrained(tmp_path / "dense").eval()
    with torch.no_grad():
        assert torch.equal(bare(words).logits, wanted)
        assert torch.allclose(dense(words).logits, wanted, atol=1e-5)
    assert bare.get_submodule(LAYER).ranks == net.get_submodule(LAYER).ranks


def test_an_optimiser_of_the_users_own(kit, tmp_path):
    net = kit.model()
    optimizer = rf.TDLRT(net, torch.optim.SGD, lr=0.01, momentum=0.9, **OPTIONS)
    norms = norms_of(optimizer)
    trainer = kit.trainer(tmp_path, net, optimizers=(optimizer, None), max_grad_norm=0.05)
    kit.attach(trainer)
    trainer.train()
    assert len(norms) == STEPS
    assert max(norms) == pytest.approx(0.05, rel=1e-4)
    assert not optimizer._ranks_before  # the last cycle has ended


def test_what_cannot_go_with_it_is_refused(kit, tmp_path):
    net = kit.model()
    for wrong in (None, net, kit.transformers.Trainer):
        with pytest.raises(rf.OptionError, match=r"pass a transformers\.Trainer"):
            kit.attach(wrong)
    for optimizer in (torch.optim.SGD(net.parameters()), rf.TDLRT(net, torch.optim.SGD, lr=0.1)):
        trainer = kit.trainer(tmp_path, net, optimizers=(optimizer, None))
        with pytest.raises(rf.OptionError, match=f"has a {type(optimizer).__name__} already"):
            kit.attach(trainer, tolerance=0.2)
    trainer = kit.trainer(tmp_path, kit.model(), optim="adafactor")
    kit.attach(trainer)
    with pytest.raises(rf.OptionError, match="trains with TDLRT already; call it once"):
        kit.attach(trainer)
    with pytest.raises(rf.OptimizerError, match="Adafactor"):
        trainer.train()


def test_tied_factors_are_refused_only_where_they_would_have_to_be_saved(kit, tmp_path):
    def trainer(**options):
        torch.manual_seed(0)
        config = kit.transformers.GPT2Config(vocab_size=16, n_positions=8, n_embd=8, n_layer=1, n_head=1)
        net = kit.transformers.GPT2LMHeadModel(config)
        rf.factorize(net, 2, include=r"lm_head|.*wte")
        result = kit.trainer(tmp_path, net, max_steps=1, **options)
        kit.attach(result, **OPTIONS)
        return result

    with pytest.raises(rf.OptionError, match=r"'transformer\.wte' and 'lm_head' share their factors"):
        trainer(save_strategy="steps").train()
    data = Sentences()
    data.samples = [{"input_ids": s["input_ids"], "labels": s["input_ids"]} for s in data.samples]
    trainer(data=data).train()


def test_a_script_gains_it_by_four_lines(kit, tmp_path):
    assert changed_lines("transformers") == 4
    trainer = run_example("transformers/low_rank.py", "--epochs", "2", "--out", str(tmp_path))
    logs = trainer.state.log_history
    assert max(entry.get("eval_accuracy", 0.0) for entry in logs) > 0.4
    assert trainer.optimizer.optimizer.records
    moved = [record for record in trainer.optimizer.optimizer.records.values() if record.ranks[0] < 32]
    assert moved  # half of 64 rows, at which they began
    assert np.isfinite([entry["eval_loss"] for entry in logs if "eval_loss" in entry]).all()


def test_models_and_rates_of_a_search_are_those_that_are_trained(kit, tmp_path):
    arguments = kit.trainer(tmp_path, kit.model(), max_steps=2).args
    data = Sentences()
    trainer = kit.transformers.Trainer(args=arguments, model_init=lambda: kit.model(), train_dataset=data)
    kit.attach(trainer, **OPTIONS)
    start = kit.model().classifier.weight
    for rate in (5e-3, 0.0):
        trainer.args.learning_rate = rate
        trainer.train()  # calls model_init
        assert torch.equal(trainer.model.classifier.weight, start) is (rate == 0)
