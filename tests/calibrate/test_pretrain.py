"""Pretraining: deterministic, resumable, and its file can be read by the run time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from calibrate.pretrain import PretrainConfig, Trainer, export
from calibrate.pretrain_data import Bank, both_captions, draw_batch, make_bank
from calibrate.synthesis import TRAIN_FAMILIES
from fbclip.backbone import load_backbone
from fbclip.config import BackboneConfig, TextConfig
from fbclip.text import load_text_tower, tokenize

TINY = BackboneConfig(
    name="tiny",
    image_size=64,
    patch_size=16,
    layers=8,
    width=16,
    heads=2,
    embed_dim=16,
    text_width=16,
    text_heads=2,
    text_layers=1,
    quick_gelu=False,
)
RUN = PretrainConfig(steps=3, crop=32, batch=4, full_batch=2, captions=4, warmup=1, mixed=False)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Layers this small are slower on two threads, much slower while the cores are busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    return make_bank(tmp_path_factory.mktemp("bank"), "tiny", 12, 64, 5, TRAIN_FAMILIES)


def state(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in trainer.clip.state_dict().items()}


def test_bank_is_reused_and_a_changed_recipe_is_not(tmp_path: Path) -> None:
    first = make_bank(tmp_path, "b", 3, 64, 1, TRAIN_FAMILIES)
    pixels = np.array(first.images)
    stamp = (tmp_path / "b.images.npy").stat().st_mtime_ns
    make_bank(tmp_path, "b", 3, 64, 1, TRAIN_FAMILIES)
    assert (tmp_path / "b.images.npy").stat().st_mtime_ns == stamp
    assert not np.array_equal(pixels, make_bank(tmp_path, "b", 3, 64, 2, TRAIN_FAMILIES).images)


def test_captions_follow_what_the_crop_shows(bank: Bank) -> None:
    assert both_captions("a photo of a cracked woven plate with defect.", True) == (
        "a photo of a woven plate without defect.",
        "a photo of a cracked woven plate with defect.",
    )
    batch = draw_batch(bank, 16, 32, 16, 0, 0)
    assert batch.images.shape == (16, 3, 32, 32)
    for caption, cover in zip(batch.captions, batch.cover, strict=True):
        assert ("with defect" in caption) == bool(cover.max() > 0.02)


def test_batches_depend_on_seed_and_step_alone(bank: Bank) -> None:
    a, b, c = (draw_batch(bank, 4, 32, 16, 0, step) for step in (7, 7, 8))
    assert torch.equal(a.images, b.images)
    assert torch.equal(a.cover, b.cover)
    assert not torch.equal(a.images, c.images)


def test_resumed_run_equals_uninterrupted_run(bank: Bank, tmp_path: Path) -> None:
    whole = Trainer(TINY, RUN, bank)
    losses = [whole.train_step()[0] for _ in range(RUN.steps)]
    assert np.isfinite(losses).all()

    part = Trainer(TINY, RUN, bank)
    part.train_step()
    part.save(tmp_path)
    resumed = Trainer(TINY, RUN, bank)
    resumed.resume(tmp_path)
    assert resumed.step == 1
    while resumed.step < RUN.steps:
        resumed.train_step()
    expected = state(whole)
    for name, tensor in state(resumed).items():
        assert torch.equal(tensor, expected[name]), name


def test_training_lowers_the_loss_on_what_it_sees(bank: Bank) -> None:
    trainer = Trainer(TINY, replace(RUN, steps=60, full_share=0.0, batch=8, learning_rate=3e-3, warmup=5), bank)
    losses = [trainer.train_step()[0] for _ in range(60)]
    assert np.mean(losses[-15:]) < np.mean(losses[:15])


def test_exported_file_is_what_the_run_time_reads(bank: Bank, tmp_path: Path) -> None:
    trainer = Trainer(TINY, RUN, bank)
    trainer.train_step()
    export(trainer, tmp_path, "test", trainer.validate(bank, 12))
    saved = load_file(tmp_path / "backbone.safetensors")
    assert "token_embedding.weight" not in saved
    assert saved["token_embedding.rows"].dtype == torch.int32
    assert saved["token_embedding.values"].dtype == torch.float16

    images = draw_batch(bank, 2, 64, 16, 0, 0).images
    backbone = load_backbone(saved, TINY, 64)
    ours = backbone(images, (8,))[0]
    visual = trainer.clip.visual
    expected = visual.forward_intermediates(
        images, indices=[7], intermediates_only=True, output_fmt="NLC", output_extra_tokens=True
    )
    assert torch.allclose(ours[:, 1:], expected["image_intermediates"][0], atol=2e-2)

    tower = load_text_tower(saved, TINY)
    ids = tokenize(TextConfig(), TINY.context_length)
    assert torch.isfinite(tower(tower.token_embedding(ids))).all()
    caption = trainer.ids((bank.captions[0][0],))
    assert torch.isfinite(tower.token_embedding(caption)).all()
