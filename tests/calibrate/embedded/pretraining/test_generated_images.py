"""Generated images: made once, alike with any number of processes, each with both captions."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from calibrate.embedded.pretraining.generated_images import ImageRecipe, caption_forms, load_or_generate
from calibrate.surfaces.families import TRAIN_FAMILIES


def test_images_is_reused_and_a_changed_recipe_is_not(tmp_path: Path) -> None:
    first = load_or_generate(tmp_path, "b", ImageRecipe(3, 64, 1, TRAIN_FAMILIES))
    pixels = np.array(first.images)
    stamp = (tmp_path / "b.images.npy").stat().st_mtime_ns
    load_or_generate(tmp_path, "b", ImageRecipe(3, 64, 1, TRAIN_FAMILIES))
    assert (tmp_path / "b.images.npy").stat().st_mtime_ns == stamp
    assert not np.array_equal(pixels, load_or_generate(tmp_path, "b", ImageRecipe(3, 64, 2, TRAIN_FAMILIES)).images)


def test_images_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    one = load_or_generate(tmp_path / "one", "b", ImageRecipe(120, 64, 1, TRAIN_FAMILIES))
    two = load_or_generate(tmp_path / "two", "b", ImageRecipe(120, 64, 1, TRAIN_FAMILIES), processes=2)
    assert one.captions == two.captions
    assert np.array_equal(one.images, two.images)
    assert np.array_equal(one.masks, two.masks)


def test_a_caption_has_a_form_without_and_one_with_the_defect() -> None:
    assert caption_forms("a photo of a cracked woven plate with defect.", True) == (
        "a photo of a woven plate without defect.",
        "a photo of a cracked woven plate with defect.",
    )
