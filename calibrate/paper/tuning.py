"""A method tuned as the protocol has it: the whole test split of another set, all epochs, no validation."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from calibrate.datasets.reader import read_data
from calibrate.datasets.sample import data_sha256
from calibrate.defects.on_images import Item
from calibrate.inference import Skips
from calibrate.paper.protocol import PaperRequest, PaperRow, method_of
from calibrate.processes import ProcessGroup
from calibrate.tuning.features import Features, shuffled
from calibrate.tuning.images import ImageLoader, usable_samples
from calibrate.tuning.learners import learner_for
from calibrate.tuning.split import select
from calibrate.tuning.token_cache import caches
from calibrate.tuning.training import Recipe, TuningTrainer
from fbclip.artefacts.adapter import load_adapter, save_adapter
from fbclip.backbone.weights import find_weights, open_backbone
from fbclip.errors import AdapterError
from fbclip.files import canonical_json
from fbclip.images.framing import Framing
from fbclip.method.text import load_text_tower
from fbclip.runtime import pick_device

Report = Callable[[str, int, int], None]
_CACHE_BYTES = 8 << 30


def tuned_adapter(request: PaperRequest, row: PaperRow, seed: int, report: Report, processes: ProcessGroup) -> Path:
    """The folder of the row's adapter; one that an earlier call made of the same data and recipe is taken as it is.

    Several processes share each step, and the first one writes. Raises DataError, TrainingError, WeightsError,
    ConfigError, OSError.
    """
    out = request.out / "adapters" / f"{row.name}-s{seed}"
    name, root = request.train
    samples, _ = select(read_data(root), "test")
    weights = find_weights(request.backbone, request.weights).known(request.trust)
    method, own = method_of(row, weights.config, request.size), row.published
    backbone, digest = open_backbone(weights, method.image_size)
    recipe = Recipe(request.epochs or own.epochs, own.learning_rate, own.betas, seed)
    described = {
        "protocol": "paper",
        "trained_on": name,
        "data_sha256": data_sha256(samples),
        "epochs": recipe.epochs,
        "learning_rate": recipe.learning_rate,
        "batch": own.batch,
        "seed": seed,
    }
    if processes.agreed(_is_that(out, described, digest, method.model_dump(mode="json"))):
        return out
    loader = ImageLoader(Framing(), method.image_size, weights.config.patch_size)
    skips = Skips(request.skip_bad)
    usable = usable_samples(samples, loader, skips, lambda done: report(f"reading {name}", done, len(samples)))
    device = pick_device(request.device)
    backbone, tower = backbone.to(device), load_text_tower(weights.all(), weights.config).to(device)
    learner = learner_for(backbone, tower, method, None, seed)
    trainer = TuningTrainer(learner, recipe, processes)
    items = [Item(sample) for sample in usable]
    room = caches(learner.feature_shape, 0, len(items), _CACHE_BYTES, request.out / "cache", processes)
    with closing(learner), closing(room) as kept:
        features = Features(items, loader, learner, kept.train, processes)
        features.prepare(lambda done, total: report(f"{row.name}: features of {name}", done, total))
        for epoch in range(recipe.epochs):
            batches = shuffled(items, own.batch, seed, epoch)
            what = f"{row.name}, seed {seed}, epoch {epoch + 1} of {recipe.epochs}"
            trainer.train_epoch(
                epoch,
                (features.fetch(batch) for batch in batches),
                lambda _, step, __, what=what, total=len(batches): report(what, step + 1, total),  # type: ignore[misc]
            )
    provenance = {**described, "pictures": sorted({sample.sha256 for sample in usable})}
    if processes.first:
        save_adapter(learner.learned().adapter(digest, weights.config, provenance, weights.trusted), out)
    # Nobody opens it before it is there.
    processes.wait()
    return out


def _is_that(folder: Path, described: dict[str, object], digest: str, method: object) -> bool:
    """Whether the adapter there was made by the same recipe, of the same data and weights."""
    try:
        manifest = load_adapter(folder).manifest
    except AdapterError:
        return False
    own = {key: manifest.provenance.get(key) for key in described}
    same = canonical_json(own) == canonical_json(described) and manifest.backbone_sha256 == digest
    numbers = manifest.method or manifest.peer
    return same and numbers is not None and numbers.model_dump(mode="json") == method
