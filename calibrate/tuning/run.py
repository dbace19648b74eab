"""`calibrate tune`: samples -> split, features, training, comparison, outcome, and the adapter that is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from calibrate.datasets.sample import Sample
from calibrate.errors import DataError
from calibrate.inference import Skips
from calibrate.processes import ALONE, ProcessGroup
from calibrate.tuning.comparison import compare, score_adapters
from calibrate.tuning.features import Features
from calibrate.tuning.images import ImageLoader, usable_samples
from calibrate.tuning.learners import learner_for
from calibrate.tuning.loop import Report, TrainedRun, drop_state, train
from calibrate.tuning.model import ModelRequest, TuningModel, open_model
from calibrate.tuning.outcome import Outcome, TuningDocument, write_outcome
from calibrate.tuning.request import TuningRequest, description, run_key
from calibrate.tuning.split import MAX_IMAGES, MODE_TEXT, TuningSplit, make_split, mode_of
from calibrate.tuning.token_cache import caches
from calibrate.tuning.training import TuningTrainer
from fbclip.artefacts.adapter import Adapter
from fbclip.errors import ConfigError
from fbclip.images.framing import Framing

_MB = 1 << 20


@dataclass(frozen=True)
class TuningJob:
    """Everything that was asked for: the images, the model, how to tune it, and the folders.

    work: where the state of the run is until it ends; restart: what an earlier run left there is forgotten.
    """

    samples: Sequence[Sample]
    framing: Framing
    model: ModelRequest
    request: TuningRequest
    out: Path
    work: Path
    restart: bool = False


def run_job(
    job: TuningJob, skips: Skips, notify: Callable[[str], None], report: Report, processes: ProcessGroup = ALONE
) -> TuningDocument:
    """Tune, compare and write; interrupted, the same job goes on after the last whole epoch.

    Of several processes the first one writes; all return the same document.
    `skips` says what becomes of images that cannot be used; `notify` gets what the user should know before it starts.
    Raises ConfigError, DataError, TrainingError, WeightsError, AdapterError, OSError.
    """
    base_folder = job.model.base_folder
    if job.out.exists() and not job.out.is_dir():
        raise ConfigError(f"--out {job.out}: is a file; name a folder")
    if base_folder is not None and base_folder.resolve() == job.out.resolve():
        raise ConfigError(f"--out {job.out}: is the base itself; name another folder")
    model = open_model(job.model)
    if job.restart and processes.first:
        drop_state(job.work)
    loader = ImageLoader(job.framing, model.method.image_size, model.backbone.config.patch_size)
    count = len(job.samples)
    samples = usable_samples(job.samples, loader, skips, lambda done: report("reading images", done, count))
    for skipped in skips.skipped:
        notify(f"left out: {skipped}")
    notify(f"mode: {MODE_TEXT[mode_of(samples)]}")
    outcome = tune_adapter(model, samples, loader, job.request, job.work, report, processes)
    if processes.first:
        write_outcome(outcome, base_folder, job.out)
        drop_state(job.work)
    return outcome.document()


def tune_adapter(
    model: TuningModel,
    samples: Sequence[Sample],
    loader: ImageLoader,
    request: TuningRequest,
    work: Path,
    report: Report,
    processes: ProcessGroup = ALONE,
) -> Outcome:
    """Tune, and compare with the base; the state of the run is in `work` until the caller drops it.

    Raises DataError, TrainingError, ConfigError (a state of another run in `work`), AdapterError.
    """
    split = make_split(samples, request.synthetic, request.recipe.seed)
    images = known_images(split, model.start)
    described = description(model, split, loader.framing.roi, request)
    trained = _train(model, split, loader, request, work, run_key(described), report, processes)
    tuned = trained.tuned.adapter(model.backbone_sha256, model.backbone.config, {}, model.trusted)
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        report("comparing", done, len(split.test))

    scores = score_adapters(model, tuned, split.test, loader, advance, processes)
    comparison = compare(scores, request.recipe.seed)
    outcome = Outcome(split, trained, tuned, model.base, comparison, request.keep)
    provenance = {**described, "pictures": images, "result": outcome.document().result()}
    # Provenance is outside of the id, so the adapter that was compared and the one that is written are one.
    written = trained.tuned.adapter(model.backbone_sha256, model.backbone.config, provenance, model.trusted)
    return replace(outcome, tuned=written)


def known_images(split: TuningSplit, base: Adapter | None) -> list[str]:
    """sha256 of every image behind the result, those of the base that it starts from included.

    Raises DataError for more than an adapter can list.
    """
    before = [] if base is None else base.manifest.provenance.get("pictures", [])
    # What an earlier version or another tool put there may be a count.
    known = {s.sha256 for s in split.samples} | (set(before) if isinstance(before, list) else set())
    if len(known) > MAX_IMAGES:
        raise DataError(f"{len(known)} images with those of the base; an adapter lists at most {MAX_IMAGES}")
    return sorted(known)


def _train(
    model: TuningModel,
    split: TuningSplit,
    loader: ImageLoader,
    request: TuningRequest,
    work: Path,
    key: str,
    report: Report,
    processes: ProcessGroup,
) -> TrainedRun:
    learner = learner_for(model.backbone, model.tower, model.method, model.start, request.recipe.seed)
    trainer = TuningTrainer(learner, request.recipe, processes)
    # Images that are turned at random are computed anew each time.
    cached = 0 if request.augment else len(split.train)
    limit = request.cache_mb * _MB
    room = caches(learner.feature_shape, len(split.validation), cached, limit, work, processes)
    with closing(learner), closing(room) as kept:
        features = Features(split.train, loader, learner, None if request.augment else kept.train, processes)
        validation = Features(split.validation, loader, learner, kept.validation, processes)
        return train(trainer, features, validation, request, work, key, report)
