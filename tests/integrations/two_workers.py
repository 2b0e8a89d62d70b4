"""Two epochs of a small network in float64 under a trainer, alone or as one of several workers; leaves what it became.

Run as ``python two_workers.py lightning|transformers FOLDER``, or by ``python -m torch.distributed.run``.
"""

import os
import sys
import tempfile
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import Dataset

import rankfold as rf

WORKERS, RANK = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
BATCH = 12 // WORKERS
INPUTS = torch.randn(60, 36, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
OPTIONS = {"tolerance": 0.3, "core_steps": 3}


class Samples(Dataset):
    def __len__(self):
        return len(INPUTS)

    def __getitem__(self, index):
        return {"x": INPUTS[index], "labels": (INPUTS[index].mean() > 0).long()}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(36, 32), nn.ReLU(), nn.Linear(32, 2)).double()
        rf.factorize(self, 0.9, rescale=True)

    def forward(self, x, labels):
        logits = self.layers(x)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def by_lightning(net: Net) -> None:
    import lightning.pytorch as lightning
    from torch.utils.data import DataLoader, DistributedSampler

    from rankfold.integrations import LightningCallback

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = net

        def training_step(self, batch, batch_idx):
            return self.net(**batch)["loss"]

        def configure_optimizers(self):
            return rf.TDLRT(self, torch.optim.SGD, lr=0.05, momentum=0.9, **OPTIONS)

    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=WORKERS,
        strategy="ddp" if WORKERS > 1 else "auto",
        callbacks=[LightningCallback()],
        max_epochs=2,
        gradient_clip_val=0.1,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        logger=False,
        use_distributed_sampler=False,  # which would shuffle
    )
    order = DistributedSampler(Samples(), WORKERS, RANK, shuffle=False)
    trainer.fit(Module(), DataLoader(Samples(), BATCH, sampler=order))


def by_transformers(net: Net) -> None:
    from transformers import Trainer, TrainingArguments

    from rankfold.integrations import attach_tdlrt

    arguments = TrainingArguments(
        tempfile.mkdtemp(),
        num_train_epochs=2,
        per_device_train_batch_size=BATCH,
        optim="sgd",
        learning_rate=0.05,
        lr_scheduler_type="constant",
        train_sampling_strategy="sequential",
        max_grad_norm=0.1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        ddp_backend="gloo" if WORKERS > 1 else None,
    )
    trainer = Trainer(net, arguments, train_dataset=Samples())
    attach_tdlrt(trainer, **OPTIONS)
    trainer.train()


if __name__ == "__main__":
    made = Net()
    {"lightning": by_lightning, "transformers": by_transformers}[sys.argv[1]](made)
    ranks = {name: module.ranks for name, module in made.named_modules() if hasattr(module, "core")}
    left = {"state": made.state_dict(), "weights": rf.densify(made).state_dict(), "ranks": ranks}
    torch.save(left, Path(sys.argv[2]) / f"{sys.argv[1]}-{WORKERS}-{RANK}.pt")
