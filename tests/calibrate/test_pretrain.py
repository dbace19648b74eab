"""Pretraining: deterministic, resumable, spread over processes, and its file can be read by the run time."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.distributed.run import get_args_parser

from calibrate.commands.pretrain import pretrain
from calibrate.embedded.batches import PATCH_FLOOR, draw_batch
from calibrate.embedded.image_bank import Bank, both_captions, make_bank
from calibrate.embedded.model import begin_at
from calibrate.embedded.run import TRAIN_SEED, export, pretrain_backbone
from calibrate.embedded.trainer import PretrainConfig, PretrainingTrainer, fast_in_bfloat16
from calibrate.errors import TrainingError
from calibrate.surfaces.families import TRAIN_FAMILIES
from fbclip.backbone.config import BackboneConfig
from fbclip.backbone.tower import load_backbone
from fbclip.files import file_sha256
from fbclip.method.config import TextConfig
from fbclip.method.text import load_text_tower, tokenize

TINY = BackboneConfig(
    name="tiny",
    image_size=64,
    patch_size=16,
    layers=6,
    width=16,
    heads=2,
    embed_dim=16,
    text_width=16,
    text_heads=2,
    text_layers=1,
    quick_gelu=False,
    stem="conv",
)
RUN = PretrainConfig(steps=3, batch=4, captions=4, warmup=1, mixed=False)


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


def state(trainer: PretrainingTrainer) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in trainer.clip.state_dict().items()}


def test_bank_is_reused_and_a_changed_recipe_is_not(tmp_path: Path) -> None:
    first = make_bank(tmp_path, "b", 3, 64, 1, TRAIN_FAMILIES)
    pixels = np.array(first.images)
    stamp = (tmp_path / "b.images.npy").stat().st_mtime_ns
    make_bank(tmp_path, "b", 3, 64, 1, TRAIN_FAMILIES)
    assert (tmp_path / "b.images.npy").stat().st_mtime_ns == stamp
    assert not np.array_equal(pixels, make_bank(tmp_path, "b", 3, 64, 2, TRAIN_FAMILIES).images)


def test_bank_does_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    one = make_bank(tmp_path / "one", "b", 120, 64, 1, TRAIN_FAMILIES)
    two = make_bank(tmp_path / "two", "b", 120, 64, 1, TRAIN_FAMILIES, processes=2)
    assert one.captions == two.captions
    assert np.array_equal(one.images, two.images)
    assert np.array_equal(one.masks, two.masks)


def test_captions_follow_what_the_crop_shows(bank: Bank) -> None:
    assert both_captions("a photo of a cracked woven plate with defect.", True) == (
        "a photo of a woven plate without defect.",
        "a photo of a cracked woven plate with defect.",
    )
    batch = draw_batch(bank, 16, 64, 16, 0, 0)
    assert batch.images.shape == (16, 3, 64, 64)
    assert batch.cells.shape == (16, 8, 8)
    for caption, cells in zip(batch.captions, batch.cells, strict=True):
        cover = torch.nn.functional.avg_pool2d(cells[None], 2)
        assert ("with defect" in caption) == bool(cover.max() > PATCH_FLOOR)


def test_batches_depend_on_seed_and_step_alone(bank: Bank) -> None:
    a, b, c = (draw_batch(bank, 4, 64, 16, 0, step) for step in (7, 7, 8))
    assert torch.equal(a.images, b.images)
    assert torch.equal(a.cells, b.cells)
    assert not torch.equal(a.images, c.images)


def test_the_first_steps_see_smaller_images_and_measuring_sees_them_whole(bank: Bank) -> None:
    trainer = PretrainingTrainer(TINY, replace(RUN, steps=10), bank)
    sides = []
    for trainer.step in range(10):
        sides.append(trainer.side())
        batch = trainer.next_batch()
        assert batch.images.shape[-1] == sides[-1]
        assert batch.cells.shape[-1] == 2 * sides[-1] // TINY.patch_size
    assert sides == [48] * 7 + [64] * 3
    trainer.step = 0
    assert np.isfinite(trainer.train_step()[0])
    assert trainer.clip.visual.positional_embedding.shape == (1 + 4 * 4, TINY.width)
    assert np.isfinite(trainer.validate(bank)).all()


def test_bfloat16_is_taken_where_the_machine_multiplies_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fast_in_bfloat16("cuda:1")
    for capability, fast in (("AVX2", False), ("AVX512", True), ("DEFAULT", False)):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda known=capability: known)
        assert fast_in_bfloat16("cpu") is fast


def test_resumed_run_equals_uninterrupted_run(bank: Bank, tmp_path: Path) -> None:
    whole = PretrainingTrainer(TINY, RUN, bank)
    losses = [whole.train_step()[0] for _ in range(RUN.steps)]
    assert np.isfinite(losses).all()

    part = PretrainingTrainer(TINY, RUN, bank)
    part.train_step()
    part.save(tmp_path)
    resumed = PretrainingTrainer(TINY, RUN, bank)
    resumed.resume(tmp_path)
    assert resumed.step == 1
    while resumed.step < RUN.steps:
        resumed.train_step()
    expected = state(whole)
    for name, tensor in state(resumed).items():
        assert torch.equal(tensor, expected[name]), name


def test_state_of_another_run_is_refused(bank: Bank, tmp_path: Path) -> None:
    PretrainingTrainer(TINY, RUN, bank).save(tmp_path)
    with pytest.raises(TrainingError, match="another backbone, config"):
        PretrainingTrainer(TINY.model_copy(update={"stem": "patch"}), replace(RUN, batch=2), bank).resume(tmp_path)


def test_training_lowers_the_loss_on_what_it_sees(bank: Bank) -> None:
    trainer = PretrainingTrainer(TINY, replace(RUN, steps=60, batch=8, learning_rate=3e-3, warmup=5), bank)
    losses = [trainer.train_step()[0] for _ in range(60)]
    assert np.mean(losses[-15:]) < np.mean(losses[:15])


def test_exported_file_is_what_the_run_time_reads(bank: Bank, tmp_path: Path) -> None:
    trainer = PretrainingTrainer(TINY, RUN, bank)
    trainer.train_step()
    export(trainer, tmp_path, "test", [])
    saved = load_file(tmp_path / "backbone.safetensors")
    assert "token_embedding.weight" not in saved
    assert saved["token_embedding.rows"].dtype == torch.int32
    assert saved["token_embedding.values"].dtype == torch.float16

    images = draw_batch(bank, 2, 64, 16, 0, 0).images
    backbone = load_backbone(saved, TINY, 64)
    ours = backbone(images, (6,))[0]
    visual = trainer.clip.visual
    expected = visual.forward_intermediates(
        images, indices=[5], intermediates_only=True, output_fmt="NLC", output_extra_tokens=True
    )
    assert torch.allclose(ours[:, 1:], expected["image_intermediates"][0], atol=2e-2)

    tower = load_text_tower(saved, TINY)
    ids = tokenize(TextConfig(), TINY.context_length)
    assert torch.isfinite(tower(tower.token_embedding(ids))).all()
    caption = trainer.objective.ids((bank.captions[0][0],))
    assert torch.isfinite(tower.token_embedding(caption)).all()


def test_a_run_goes_on_where_it_stopped_and_keeps_its_curve(tmp_path: Path) -> None:
    def run(out: str) -> dict[str, object]:
        pretrain_backbone(
            cache=tmp_path / "cache", out=tmp_path / out, config=RUN, images=12, device="cpu", machine="test",
            backbone=TINY, report_minutes=0.0,
        )  # fmt: skip
        return dict(json.loads((tmp_path / out / "provenance.json").read_text(encoding="utf-8")))

    about = run("first")
    curve = about["curve"]
    assert isinstance(curve, list)
    assert [point["step"] for point in curve] == [1, 2, 3]
    assert about["steps_done"] == RUN.steps
    first = load_file(tmp_path / "first" / "backbone.safetensors")
    state_file = tmp_path / "cache" / f"state-{RUN.seed}-{RUN.steps}" / "state.json"
    before = state_file.stat().st_mtime_ns
    run("first")
    assert state_file.stat().st_mtime_ns == before  # it was finished
    assert all(torch.isfinite(tensor.float()).all() for tensor in first.values())


TOGETHER = """
from pathlib import Path
import sys
from calibrate.embedded.run import pretrain_backbone
from tests.calibrate.test_pretrain import RUN, TINY
if __name__ == "__main__":
    folder = Path(sys.argv[1])
    pretrain_backbone(cache=folder / "cache", out=folder / "out", config=RUN, images=12, device="cpu",
                      machine="test", backbone=TINY)
"""


def test_two_processes_share_a_step(tmp_path: Path, bank: Bank) -> None:
    script = tmp_path / "together.py"
    script.write_text(TOGETHER, encoding="utf-8")
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", script, tmp_path],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    about = json.loads((tmp_path / "out" / "provenance.json").read_text(encoding="utf-8"))
    assert about["processes"] == 2
    assert about["steps_done"] == RUN.steps


def test_torchrun_hands_every_option_on() -> None:
    """It takes an option of the script that is the beginning of several of its own for an ambiguous one."""
    options = [f"--{name.replace('_', '-')}" for name in inspect.signature(pretrain).parameters]
    found = get_args_parser().parse_args(["calibrate", "pretrain", *options])
    assert found.training_script_args == ["pretrain", *options]


def test_a_run_goes_on_from_shipped_weights(bank: Bank, tmp_path: Path) -> None:
    first = PretrainingTrainer(TINY, RUN, bank)
    first.train_step()
    export(first, tmp_path / "first", "test", [])
    shipped = tmp_path / "first" / "backbone.safetensors"
    second = PretrainingTrainer(TINY, replace(RUN, seed=1), bank)
    begin_at(second.clip, load_file(shipped))
    expected = first.clip.state_dict()
    for name, tensor in second.clip.state_dict().items():
        assert torch.allclose(tensor, expected[name], atol=1e-3), name

    pretrain_backbone(
        cache=tmp_path / "cache", out=tmp_path / "second", config=replace(RUN, seed=1), images=12, device="cpu",
        machine="test", backbone=TINY, base=shipped,
    )  # fmt: skip
    new = np.load(tmp_path / "cache" / "train.images.npy")
    old = make_bank(tmp_path / "old", "train", 12, TINY.image_size, TRAIN_SEED, TRAIN_FAMILIES)
    assert not any(np.array_equal(one, other) for one in new for other in old.images)
    about = json.loads((tmp_path / "second" / "provenance.json").read_text(encoding="utf-8"))
    assert about["pretrain"]["start_sha256"] == file_sha256(shipped)

    other = PretrainingTrainer(TINY.model_copy(update={"width": 32}), RUN, bank)
    with pytest.raises(TrainingError, match="another architecture"):
        begin_at(other.clip, load_file(shipped))
