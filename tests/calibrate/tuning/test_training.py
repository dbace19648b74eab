"""Training from batches of images gives usable adapters, the same again."""

import pytest
import torch

from calibrate.errors import TrainingError
from calibrate.tuning.training import Recipe, TuningBatch, tune
from fbclip.artefacts.adapter import load_adapter, save_adapter
from tests.factories.tuning import METHOD, tuning_model


def batches(epoch):
    generator = torch.Generator().manual_seed(epoch)
    images = torch.randn(4, 3, 56, 56, generator=generator)
    masks = torch.zeros(4, 56, 56)
    masks[:2, 10:30, 10:30] = 1
    images[:2, :, 10:30, 10:30] += 4
    yield TuningBatch(images, masks.flatten(1).amax(1), masks)


def test_tuning_learns_is_repeatable_and_survives_the_disk(tmp_path):
    model = tuning_model()
    recipe = Recipe(epochs=30, learning_rate=3e-3, seed=5)
    runs = []
    for _ in range(2):
        losses: list[float] = []
        progress = lambda _e, _s, row, to=losses: to.append(row[0])  # noqa: E731
        tuned = tune(model.backbone, model.tower, METHOD, batches, recipe, progress)
        runs.append((tuned.adapter(model.backbone_sha256, model.backbone.config, {"seed": 5}), losses))
    (adapter, losses), (again, _) = runs
    assert adapter.id == again.id
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    save_adapter(adapter, tmp_path / "a")
    assert load_adapter(tmp_path / "a").id == adapter.id
    adapter.head()


def test_a_model_that_is_not_finite_ends_the_run():
    model = tuning_model()

    def poisoned(epoch):
        for batch in batches(epoch):
            yield TuningBatch(batch.images * float("nan"), batch.labels, None)

    with pytest.raises(TrainingError, match="not finite"):
        tune(model.backbone, model.tower, METHOD, poisoned, Recipe(epochs=1), lambda *_: None)
