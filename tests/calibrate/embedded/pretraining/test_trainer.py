"""The trainer: deterministic, resumable, learning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from calibrate.embedded.pretraining.config import fast_in_bfloat16
from calibrate.embedded.pretraining.generated_images import GeneratedImages
from calibrate.embedded.pretraining.trainer import PretrainingTrainer, held_out_aurocs
from calibrate.errors import TrainingError
from tests.factories.pretraining import TINY_CLIP, TINY_RUN


def state(trainer: PretrainingTrainer) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in trainer.clip.state_dict().items()}


def test_the_first_steps_see_smaller_images_and_measuring_sees_them_whole(data: GeneratedImages) -> None:
    trainer = PretrainingTrainer(TINY_CLIP, replace(TINY_RUN, steps=10), data)
    sides = []
    for trainer.step in range(10):
        sides.append(trainer.config.side(trainer.step, TINY_CLIP))
        batch = trainer.next_batch()
        assert batch.images.shape[-1] == sides[-1]
        assert batch.cover.shape[-1] == sides[-1] // TINY_CLIP.patch_size
    assert sides == [48] * 7 + [64] * 3
    trainer.step = 0
    assert np.isfinite(trainer.train_step()[0])
    assert trainer.clip.visual.positional_embedding.shape == (1 + 4 * 4, TINY_CLIP.width)
    found = held_out_aurocs(trainer, data)
    assert np.isfinite([found.patch, found.image]).all()


def test_bfloat16_is_taken_where_the_machine_multiplies_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fast_in_bfloat16("cuda:1")
    for capability, fast in (("AVX2", False), ("AVX512", True), ("DEFAULT", False)):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda known=capability: known)
        assert fast_in_bfloat16("cpu") is fast


def test_resumed_run_equals_uninterrupted_run(data: GeneratedImages, tmp_path: Path) -> None:
    whole = PretrainingTrainer(TINY_CLIP, TINY_RUN, data)
    losses = [whole.train_step()[0] for _ in range(TINY_RUN.steps)]
    assert np.isfinite(losses).all()

    part = PretrainingTrainer(TINY_CLIP, TINY_RUN, data)
    part.train_step()
    part.save(tmp_path)
    resumed = PretrainingTrainer(TINY_CLIP, TINY_RUN, data)
    resumed.resume(tmp_path)
    assert resumed.step == 1
    while resumed.step < TINY_RUN.steps:
        resumed.train_step()
    expected = state(whole)
    for name, tensor in state(resumed).items():
        assert torch.equal(tensor, expected[name]), name


def test_state_of_another_run_is_refused(data: GeneratedImages, tmp_path: Path) -> None:
    PretrainingTrainer(TINY_CLIP, TINY_RUN, data).save(tmp_path)
    with pytest.raises(TrainingError, match="another backbone, config"):
        PretrainingTrainer(TINY_CLIP.model_copy(update={"stem": "patch"}), replace(TINY_RUN, batch=2), data).resume(
            tmp_path
        )


def test_training_lowers_the_loss_on_what_it_sees(data: GeneratedImages) -> None:
    trainer = PretrainingTrainer(TINY_CLIP, replace(TINY_RUN, steps=60, batch=8, learning_rate=3e-3, warmup=5), data)
    losses = [trainer.train_step()[0] for _ in range(60)]
    assert np.mean(losses[-15:]) < np.mean(losses[:15])
