"""The same in low rank: four lines more."""

import argparse

import numpy as np
import rankfold as rf
from rankfold.integrations import attach_tdlrt
from sklearn.datasets import load_digits
from transformers import Trainer, TrainingArguments, ViTConfig, ViTForImageClassification, set_seed


def accuracy(prediction):
    return {"accuracy": float((np.argmax(prediction.predictions, -1) == prediction.label_ids).mean())}


def main() -> Trainer:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=float, default=10)
    parser.add_argument("--out", default="transformers_digits")
    options = parser.parse_args()

    pixels, digits = load_digits(return_X_y=True)
    images = (pixels / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    data = [{"pixel_values": image, "labels": digit} for image, digit in zip(images, digits, strict=True)]

    set_seed(0)
    config = ViTConfig(
        image_size=8,
        patch_size=2,
        num_channels=1,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_labels=10,
    )
    model = ViTForImageClassification(config)
    rf.factorize(model, 0.5, rescale=True)
    arguments = TrainingArguments(
        options.out,
        num_train_epochs=options.epochs,
        per_device_train_batch_size=32,
        per_device_eval_batch_size=512,
        learning_rate=4e-3,
        weight_decay=0.01,
        warmup_steps=40,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        report_to="none",
        use_cpu=True,
        seed=0,
    )
    trainer = Trainer(
        model, arguments, train_dataset=data[:1300], eval_dataset=data[1300:], compute_metrics=accuracy
    )
    attach_tdlrt(trainer, tolerance=0.1)
    trainer.train()
    print(trainer.evaluate())
    return trainer


if __name__ == "__main__":
    main()
