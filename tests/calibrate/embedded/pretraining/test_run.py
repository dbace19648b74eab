"""A run: goes on where it stopped or from shipped weights, over processes, and its file can be read by the run time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from calibrate.embedded.pretraining.batches import draw_batch
from calibrate.embedded.pretraining.generated_images import GeneratedImages, ImageRecipe, load_or_generate
from calibrate.embedded.pretraining.initialization import initialize_from_file
from calibrate.embedded.pretraining.model import vision_tokens
from calibrate.embedded.pretraining.run import TRAIN_SEED, PretrainRequest, export, pretrain_backbone
from calibrate.embedded.pretraining.trainer import PretrainingTrainer
from calibrate.errors import TrainingError
from calibrate.surfaces.families import TRAIN_FAMILIES
from fbclip.backbone.tower import load_backbone
from fbclip.files import file_sha256
from fbclip.method.config import TextConfig
from fbclip.method.text import load_text_tower, tokenize
from tests.factories.pretraining import TINY_CLIP, TINY_RUN


def test_exported_file_is_what_the_run_time_reads(data: GeneratedImages, tmp_path: Path) -> None:
    trainer = PretrainingTrainer(TINY_CLIP, TINY_RUN, data)
    trainer.train_step()
    export(trainer, tmp_path, "test", [])
    saved = load_file(tmp_path / "backbone.safetensors")
    assert "token_embedding.weight" not in saved
    assert saved["token_embedding.rows"].dtype == torch.int32
    assert saved["token_embedding.values"].dtype == torch.float16

    images = draw_batch(data, 2, 64, 16, 0, 0).images
    backbone = load_backbone(saved, TINY_CLIP, 64)
    last = TINY_CLIP.layers
    ours = backbone(images, (last,))[0]
    visual = trainer.clip.visual
    with torch.no_grad():
        expected = vision_tokens(trainer.clip, visual.conv1(trainer.see(images)), (last,))[0]
        found = visual.ln_post(ours) @ visual.proj
    assert torch.allclose(found, expected, atol=2e-2)

    tower = load_text_tower(saved, TINY_CLIP)
    ids = tokenize(TextConfig(), TINY_CLIP.context_length)
    assert torch.isfinite(tower(tower.token_embedding(ids))).all()
    caption = trainer.objective.ids((data.captions[0][0],))
    assert torch.isfinite(tower.token_embedding(caption)).all()


def test_a_run_goes_on_where_it_stopped_and_keeps_its_curve(tmp_path: Path) -> None:
    def run(out: str) -> dict[str, object]:
        request = PretrainRequest(
            tmp_path / "cache", tmp_path / out, TINY_RUN, images=12, backbone=TINY_CLIP, report_minutes=0.0
        )
        pretrain_backbone(request)
        return dict(json.loads((tmp_path / out / "provenance.json").read_text(encoding="utf-8")))

    about = run("first")
    curve = about["curve"]
    assert isinstance(curve, list)
    assert [point["step"] for point in curve] == [1, 2, 3]
    assert about["steps_done"] == TINY_RUN.steps
    first = load_file(tmp_path / "first" / "backbone.safetensors")
    state_file = tmp_path / "cache" / f"state-{TINY_RUN.seed}-{TINY_RUN.steps}" / "state.json"
    before = state_file.stat().st_mtime_ns
    run("first")
    assert state_file.stat().st_mtime_ns == before  # it was finished
    assert all(torch.isfinite(tensor.float()).all() for tensor in first.values())


TOGETHER = """
from pathlib import Path
import sys
from calibrate.embedded.pretraining.model import vision_tokens
from calibrate.embedded.pretraining.run import PretrainRequest, pretrain_backbone
from tests.factories.pretraining import TINY_CLIP, TINY_RUN
if __name__ == "__main__":
    folder = Path(sys.argv[1])
    pretrain_backbone(PretrainRequest(folder / "cache", folder / "out", TINY_RUN, images=12, backbone=TINY_CLIP))
"""


def test_two_processes_share_a_step(tmp_path: Path) -> None:
    script = tmp_path / "together.py"
    script.write_text(TOGETHER, encoding="utf-8")
    root = Path(__file__).parents[4]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", script, tmp_path],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    about = json.loads((tmp_path / "out" / "provenance.json").read_text(encoding="utf-8"))
    assert about["processes"] == 2
    assert about["steps_done"] == TINY_RUN.steps


def test_a_run_goes_on_from_shipped_weights(data: GeneratedImages, tmp_path: Path) -> None:
    first = PretrainingTrainer(TINY_CLIP, TINY_RUN, data)
    first.train_step()
    export(first, tmp_path / "first", "test", [])
    shipped = tmp_path / "first" / "backbone.safetensors"
    second = PretrainingTrainer(TINY_CLIP, replace(TINY_RUN, seed=1), data)
    initialize_from_file(second.clip, load_file(shipped))
    expected = first.clip.state_dict()
    for name, tensor in second.clip.state_dict().items():
        assert torch.allclose(tensor, expected[name], atol=1e-3), name

    again = replace(TINY_RUN, seed=1)
    pretrain_backbone(
        PretrainRequest(tmp_path / "cache", tmp_path / "second", again, images=12, backbone=TINY_CLIP, base=shipped)
    )
    new = np.load(tmp_path / "cache" / "train.images.npy")
    old = load_or_generate(tmp_path / "old", "train", ImageRecipe(12, TINY_CLIP.image_size, TRAIN_SEED, TRAIN_FAMILIES))
    assert not any(np.array_equal(one, other) for one in new for other in old.images)
    about = json.loads((tmp_path / "second" / "provenance.json").read_text(encoding="utf-8"))
    assert about["pretrain"]["start_sha256"] == file_sha256(shipped)

    other = PretrainingTrainer(TINY_CLIP.model_copy(update={"width": 32}), TINY_RUN, data)
    with pytest.raises(TrainingError, match="another architecture"):
        initialize_from_file(other.clip, load_file(shipped))
