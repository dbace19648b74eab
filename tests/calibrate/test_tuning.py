"""Tuning: parts, cache, batches, the loop that repeats and resumes, and the verdict."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from calibrate.datasets import read_data
from calibrate.datasets.masks import resize_mask
from calibrate.datasets.sample import Sample
from calibrate.defects.on_images import JUDGE_KINDS, TUNE_KINDS
from calibrate.defects.painting import Item, Painted
from calibrate.embedded.samples.files import write_png
from calibrate.embedded.samples.products import inbox_part
from calibrate.errors import DataError, TrainingError
from calibrate.statistics.bootstrap import weighted_ranking
from calibrate.tuning.batches import in_order, shuffled
from calibrate.tuning.cache import TokenCache
from calibrate.tuning.features import Features
from calibrate.tuning.images import Loader, usable
from calibrate.tuning.loop import Settings, run
from calibrate.tuning.method import changed_method, start_from
from calibrate.tuning.parts import make_parts, mode_of, select
from calibrate.tuning.pipeline import TuningModel, tune_adapter
from calibrate.tuning.state import Epoch
from calibrate.tuning.training import Recipe, TuningTrainer
from calibrate.tuning.verdict import JudgedScores, decide
from fbclip.backbone.weights import WeightsFile, open_backbone
from fbclip.errors import AdapterError, ConfigError
from fbclip.images.framing import Framing
from fbclip.images.geometry import Placement, Roi
from fbclip.method.config import AttentionConfig, ContrastConfig, FBCLIPConfig
from fbclip.method.text import load_text_tower
from tests.factories.models import tiny_adapter
from tests.golden.make_golden import HERE, backbone_config

METHOD = FBCLIPConfig(image_size=56, feature_layers=(1, 3), attention=AttentionConfig(heads=2, head_width=4))
LOADER = Loader(Framing(), 56, 14)
SETTINGS = Settings(Recipe(epochs=3, learning_rate=2e-3, seed=4), synthetic=2)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """8 normal images and 8 with a defect and its mask, 64 px."""
    root = tmp_path_factory.mktemp("labelled")
    for folder in ("good", "bad", "masks"):
        (root / folder).mkdir()
    for k in range(8):
        write_png(root / "good" / f"{k}.png", inbox_part(k, size=(64, 64)).image)
        scene = inbox_part(100 + k, "hole", size=(64, 64))
        write_png(root / "bad" / f"{k}.png", scene.image)
        write_png(root / "masks" / f"{k}.png", np.repeat(scene.mask[..., None], 3, 2).astype(np.uint8) * 255)
    return root


def samples_of(root, masks=8):
    """As a reader gives them; only the first `masks` defects have one."""
    found = []
    for s in read_data(root).samples:
        if s.path.parent.name == "masks":
            continue
        anomalous = s.path.parent.name == "bad"
        mask = root / "masks" / s.path.name if anomalous and int(s.path.stem) < masks else None
        found.append(replace(s, label=anomalous, mask=mask, unit=f"{s.path.parent.name}/{s.path.stem}"))
    return found


def model(base=None):
    weights = WeightsFile(backbone_config(), HERE / "backbone.safetensors")
    backbone, digest = open_backbone(weights, 56)
    return TuningModel(backbone, digest, load_text_tower(weights.all(), weights.config), METHOD, base)


def tuned(samples, work, settings=SETTINGS, base=None, report=lambda *_: None, keep=False):
    return tune_adapter(model(base), samples, LOADER, settings, keep, work, report)


# Parts


def fake(unit, label, name=None):
    return Sample(path=HERE / f"{name or unit}.png", unit=unit, sha256=f"{name or unit}", label=label)


def test_parts_are_disjoint_and_stratified():
    samples = [fake(f"g{k}", False, f"g{k}-{n}") for k in range(20) for n in range(2)]
    samples += [fake(f"b{k}", True) for k in range(12)]
    parts = make_parts(samples, 4, 0)
    units = [{i.sample.unit for i in items} for items in (parts.tune, parts.stop, parts.judge)]
    assert not (units[0] & units[1]) | (units[0] & units[2]) | (units[1] & units[2])
    assert [len(u) for u in units] == [20 - 5 - 3 + 12 - 3 - 2, 3 + 2, 5 + 3]
    assert parts.mode == "labels"
    assert len(parts.samples) == len(samples)


def test_normal_only_paints_held_out_kinds_to_judge():
    parts = make_parts([fake(f"g{k}", False) for k in range(20)], 4, 0)
    assert parts.mode == "good only"
    assert [len(p) for p in (parts.tune, parts.stop, parts.judge)] == [12 * 5, 6, 10]
    kinds = [{k for i in items if i.painted for k in i.painted.kinds} for items in (parts.tune, parts.judge)]
    assert kinds == [set(TUNE_KINDS), set(JUDGE_KINDS)]
    assert sum(i.painted is not None for i in make_parts([fake(f"{k}", False) for k in range(999)], 9, 0).tune) == 2000


def test_too_little_data_is_refused(labelled):
    with pytest.raises(DataError, match="2 normal units are too few"):
        make_parts([fake("a", False), fake("b", False)], 4, 0)
    with pytest.raises(DataError, match="2 anomalous units are too few"):
        make_parts([*(fake(f"g{k}", False) for k in range(9)), fake("x", True), fake("y", True)], 4, 0)
    twins = [replace(fake(f"g{k}", False), sha256="same") for k in range(9)]
    with pytest.raises(DataError, match="same image"):
        make_parts(twins, 4, 0)
    data = read_data(labelled / "bad")
    with pytest.raises(DataError, match="no normal images"):
        select(replace(data, samples=tuple(replace(s, label=True) for s in data.samples)), "train")


def test_only_the_wanted_split_is_used(labelled):
    data = read_data(labelled / "good")
    half = tuple(replace(s, label=False, split="train" if k < 3 else "test") for k, s in enumerate(data.samples))
    chosen, notes = select(replace(data, samples=half), "train")
    assert len(chosen) == 3
    assert notes == ["5 images outside of split train are left out"]
    assert len(select(replace(data, samples=half), "all")[0]) == 8
    with pytest.raises(DataError, match="--split"):
        select(replace(data, samples=half[3:]), "train")


# Images


def test_masks_follow_the_image(labelled):
    sample = next(s for s in samples_of(labelled) if s.label)
    whole = LOADER.load(Item(sample))
    assert whole.image.shape == (3, 56, 56)
    assert whole.mask.any() and not whole.mask.all()
    assert not LOADER.load(Item(samples_of(labelled)[-1])).mask.any()
    mask = np.zeros((4, 8), bool)
    mask[:, 4:] = True
    assert resize_mask(mask, Placement(4, 0, 4, 4), (6, 6)).all()
    assert not resize_mask(mask, Placement(0, 0, 4, 4), (6, 6)).any()
    painted = Item(next(s for s in samples_of(labelled) if not s.label), Painted(("blob",), (1, 2)))
    one, two = LOADER.load(painted), LOADER.load(painted)
    assert torch.equal(one.image, two.image) and torch.equal(one.mask, two.mask) and one.mask.any()
    assert one.label == 1.0
    corner = Loader(Framing(Roi(x1=0.5, y1=0.5, x2=1, y2=1)), 56, 14)
    assert corner.load(painted).mask.any()


def test_unusable_images_are_named(labelled, tmp_path):
    samples = samples_of(labelled)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"nothing")
    small = tmp_path / "small.png"
    write_png(small, np.full((32, 32, 3), 255, np.uint8))
    anomalous = next(s for s in samples if s.label)
    cases = [replace(anomalous, path=broken), replace(anomalous, mask=small)]
    kept, lines = usable([*samples, *cases], LOADER, skip_bad=True)
    assert kept == samples
    assert "broken.png" in lines[0] and "small.png: 32x32" in lines[1]
    with pytest.raises(DataError, match="2 images cannot be used"):
        usable([*samples, *cases], LOADER, skip_bad=False)


# Batches and cache


def test_batches_hold_known_masks_or_none(labelled):
    items = [Item(s) for s in samples_of(labelled, masks=5)]
    plans = shuffled(items, 4, 1, 0)
    assert sorted(i for p in plans for i in p.indices) == list(range(16))
    for plan in plans:
        assert not plan.pixel or all(items[i].masked for i in plan.indices)
        assert plan.pixel or not all(items[i].masked and items[i].anomalous for i in plan.indices)
    assert plans == shuffled(items, 4, 1, 0) != shuffled(items, 4, 1, 1)
    assert sorted(i for p in in_order(items, 3) for i in p.indices) == list(range(16))
    none = [Item(s) for s in samples_of(labelled, masks=0)]
    assert not any(p.pixel for p in [*shuffled(none, 4, 1, 0), *in_order(none, 4)])


def test_half_of_a_batch_is_normal_where_defects_are_painted():
    items = make_parts([fake(f"g{k}", False) for k in range(20)], 3, 0).tune
    for plan in shuffled(items, 4, 0, 0):
        assert sum(items[i].anomalous for i in plan.indices) == 2
        assert plan.pixel


@pytest.mark.parametrize(("limit", "memory", "disk"), [(1000, 5, 0), (2 * 96, 2, 3), (0, 0, 5)])
def test_cache_computes_once_in_memory_and_on_disk(tmp_path, limit, memory, disk):
    cache = TokenCache(5, (2, 3, 4), limit, tmp_path / "work")
    assert (cache.in_memory, cache.on_disk) == (memory, disk)
    calls = []
    rows = torch.randn(5, 2, 3, 4)

    def get(index):
        return cache.get(index, lambda: (calls.append(index), rows[index])[1])

    for index in (3, 0, 4, 3, 0, 4, 1, 2):
        assert torch.equal(get(index), rows[index])
    assert sorted(calls) == [0, 1, 2, 3, 4]
    cache.close()


def test_a_full_disk_only_costs_time(tmp_path, monkeypatch):
    monkeypatch.setattr("calibrate.tuning.cache.DISK_RESERVE", 1 << 62)
    cache = TokenCache(3, (1, 1, 1), 4, tmp_path)
    assert (cache.in_memory, cache.on_disk) == (1, 0)
    assert cache.get(2, lambda: torch.ones(1, 1, 1)) == 1


# The loop


def test_tuning_repeats_whatever_the_cache(labelled, tmp_path):
    samples = samples_of(labelled, masks=5)
    first = tuned(samples, tmp_path / "a")
    assert first.parts.mode == "masks"
    for k, megabytes in enumerate((0, 2048)):
        other = tuned(samples, tmp_path / f"b{k}", replace(SETTINGS, cache_mb=megabytes))
        assert other.tuned.id == first.tuned.id
    assert tuned(samples, tmp_path / "c", replace(SETTINGS, recipe=Recipe(3, 2e-3, seed=5))).tuned.id != first.tuned.id
    provenance = first.tuned.manifest.provenance
    assert provenance["pictures"] == sorted(s.sha256 for s in samples)
    assert provenance["result"]["decision"] == "no base"
    json.dumps(provenance, allow_nan=False)


def test_no_cache_at_all_gives_the_same(labelled, tmp_path):
    m = model()
    parts = make_parts(samples_of(labelled), 2, 0)
    ids = []
    for name, cached in (("a", True), ("b", False)):
        features = [
            Features(
                items,
                LOADER,
                m.backbone,
                METHOD.feature_layers,
                TokenCache(len(items), (2, 17, 16), 1 << 20, tmp_path) if cached else None,
            )
            for items in (parts.tune, parts.stop)
        ]
        trainer = TuningTrainer(m.backbone, m.tower, METHOD, SETTINGS.recipe)
        found = run(trainer, *features, SETTINGS, tmp_path / name, "key", lambda *_: None)
        ids.append(found.tuned.adapter(m.backbone_sha256, m.backbone.config, {}).id)
    assert ids[0] == ids[1]


@pytest.mark.parametrize("augment", [False, True])
def test_an_interrupted_run_goes_on_to_the_same_result(labelled, tmp_path, augment):
    samples = [s for s in samples_of(labelled) if not s.label]
    settings = replace(SETTINGS, augment=augment)
    whole = tuned(samples, tmp_path / "whole", settings)
    assert whole.parts.mode == "good only"

    def interrupt(what, done, _total):
        if what.startswith("epoch 3") and done == 1:
            raise KeyboardInterrupt

    work = tmp_path / "work"
    with pytest.raises(KeyboardInterrupt):
        tuned(samples, work, settings, report=interrupt)
    assert [p.name for p in work.iterdir()] == ["state.safetensors"]
    seen = []
    again = tuned(samples, work, settings, report=lambda what, *_: seen.append(what))
    assert "epoch 3 of 3" in seen and "epoch 2 of 3" not in seen
    assert again.tuned.id == whole.tuned.id
    assert again.trained.epochs == whole.trained.epochs


def test_another_run_in_the_work_folder_is_refused(labelled, tmp_path):
    samples = samples_of(labelled)
    tuned(samples, tmp_path)
    with pytest.raises(ConfigError, match="--restart"):
        tuned(samples, tmp_path, replace(SETTINGS, batch=2))
    state = tmp_path / "state.safetensors"
    state.write_bytes(state.read_bytes()[:500])
    with pytest.raises(TrainingError, match="--restart"):
        tuned(samples, tmp_path)


def test_the_loop_stops_early_and_keeps_the_best_epoch(labelled, tmp_path, monkeypatch):
    stops = iter([0.5, 0.3, 0.4, 0.6, 0.1])
    monkeypatch.setattr("calibrate.tuning.loop._measure", lambda *_: next(stops))
    many = replace(SETTINGS, recipe=Recipe(9, 2e-3, seed=4), patience=2)
    found = tuned(samples_of(labelled), tmp_path / "a", many)
    assert [e.stop for e in found.trained.epochs] == [0.5, 0.3, 0.4, 0.6]
    assert found.trained.best == 1
    monkeypatch.undo()
    two = tuned(samples_of(labelled), tmp_path / "b", replace(many, recipe=Recipe(2, 2e-3, seed=4)))
    assert isinstance(two.trained.epochs[0], Epoch)
    if two.trained.best == 1:
        assert two.tuned.id == found.tuned.id


def test_a_model_that_diverges_ends_with_a_message(labelled, tmp_path):
    with pytest.raises(TrainingError, match="not finite"):
        tuned(samples_of(labelled), tmp_path, replace(SETTINGS, recipe=Recipe(9, 1e30)))


def test_a_base_is_started_from_and_kept_when_too_little_is_known(labelled, tmp_path):
    samples = samples_of(labelled)
    base = tuned(samples, tmp_path / "a").tuned
    before = {k: v.clone() for k, v in base.tensors.items()}
    outcome = tuned(samples, tmp_path / "b", base=base)
    assert all(torch.equal(v, base.tensors[k]) for k, v in before.items())
    assert outcome.verdict.decision == "undecided, base kept"
    assert outcome.adapter.id == base.id != outcome.tuned.id
    normals = [s for s in samples if not s.label]
    further = tuned(normals, tmp_path / "d", base=base).tuned
    assert further.manifest.provenance["pictures"] == sorted(s.sha256 for s in samples)
    forced = tuned(samples, tmp_path / "c", base=base, keep=True)
    assert forced.adapter.id == forced.tuned.id == outcome.tuned.id
    assert forced.tuned.manifest.provenance["result"]["forced"]
    assert forced.tuned.manifest.provenance["base"] == base.id


# The method


def test_modules_are_switched_off_and_files_are_checked(tmp_path):
    having = METHOD.model_copy(update={"contrast": ContrastConfig(weight=2)})
    off = changed_method(having, None, ["mstff", "mvfbe", "background-subtraction", "scr", "contrast"])
    assert not (off.modules.mstff or off.modules.mvfbe or off.modules.background_subtraction)
    assert off.consistency.weight == off.contrast.weight == 0
    assert off.consistency.margin == METHOD.consistency.margin
    file = tmp_path / "m.yaml"
    file.write_text("consistency: {weight: 0.3}\nfeature_layers: [1, 2]\n")
    assert changed_method(METHOD, file, []).feature_layers == (1, 2)
    assert changed_method(METHOD, file, []).attention == METHOD.attention
    for text, words in (
        ("consistency: {wait: 1}", r"m\.yaml: consistency\.wait"),
        ("image_size: many", "image_size"),
        ("- 1", "must hold fields"),
        ("a: [", "cannot be read"),
        ("a: !!python/object/apply:os.system [ls]", "cannot be read"),
        ("#" * 70_000, "larger than"),
    ):
        file.write_text(text)
        with pytest.raises(ConfigError, match=words):
            changed_method(METHOD, file, [])
    with pytest.raises(ConfigError, match="no such file"):
        changed_method(METHOD, tmp_path / "none.yaml", [])
    with pytest.raises(ConfigError, match="--without"):
        changed_method(METHOD, None, ["everything"])


def test_a_start_that_does_not_fit_is_refused(labelled, tmp_path):
    base = tuned(samples_of(labelled), tmp_path).tuned
    wider = METHOD.model_copy(update={"attention": AttentionConfig(heads=4, head_width=4)})
    with pytest.raises(ConfigError, match="--from-scratch"):
        start_from(base, wider)
    with pytest.raises(AdapterError, match="no prompts"):
        start_from(tiny_adapter(1), tiny_adapter(1).manifest.method)


# The verdict


def scores(rng, n, gain, noise=0.3):
    """n good and n anomalous units whose defects stand 1 σ above, `gain` more of it afterwards."""
    labels = np.repeat([False, True], n)
    before = rng.normal(0, 1, 2 * n) + labels
    after = before + gain * labels + rng.normal(0, noise, 2 * n)
    return JudgedScores(np.arange(2 * n).astype(str), labels, before, after)


def test_few_units_decide_nothing():
    verdict = decide(scores(np.random.default_rng(0), 5, 5.0))
    assert (verdict.decision, verdict.normal_units, verdict.anomalous_units) == ("undecided, base kept", 5, 5)
    frames = scores(np.random.default_rng(0), 60, 5.0)
    as_parts = replace(frames, units=np.array([str(int(u) // 10) for u in frames.units]))
    assert decide(as_parts).decision == "undecided, base kept"


def test_a_real_improvement_is_kept_and_a_loss_is_not():
    rng = np.random.default_rng(1)
    better = decide(scores(rng, 60, 1.5))
    assert better.decision == "kept" and better.tuned_is_better
    assert 0 < better.image.low < better.image.difference < better.image.high
    assert decide(scores(rng, 60, -1.0)).decision == "not better, base kept"
    same = scores(rng, 60, 0.0, noise=0.0)
    assert decide(same).decision == "not better, base kept"


def test_a_change_without_effect_is_rarely_adopted():
    rng = np.random.default_rng(2)
    adopted = sum(decide(scores(rng, 25, 0.0, 0.5), resamples=400).decision == "kept" for _ in range(150))
    # Nominally 2.5 % of changes; after is noisier than before, so it is less.
    assert adopted <= 8


def test_a_loss_of_the_maps_speaks_against():
    judged = scores(np.random.default_rng(3), 60, 1.5)
    before = np.where(judged.labels, 0.9, np.nan)
    worse = decide(replace(judged, pixel_before=before, pixel_after=before - 0.1))
    assert worse.decision == "not better, base kept"
    assert worse.pixel.difference == pytest.approx(-0.1)
    assert decide(replace(judged, pixel_before=before, pixel_after=before + 0.01)).decision == "kept"


def test_the_verdict_is_seeded_and_refuses_nonsense():
    judged = scores(np.random.default_rng(4), 30, 0.5)
    assert decide(judged, 7) == decide(judged, 7)
    assert decide(replace(judged, before=None)).decision == "no base"
    with pytest.raises(ValueError, match="finite"):
        decide(replace(judged, after=judged.after * np.nan))
    with pytest.raises(ValueError, match="normal and anomalous"):
        decide(replace(judged, labels=np.ones(60, bool)))


def test_weighted_auroc_is_that_of_repeated_rows():
    from calibrate.metrics.ranking import auroc

    rng = np.random.default_rng(5)
    values, labels = rng.integers(0, 5, 30).astype(float), rng.random(30) < 0.4
    weights = rng.integers(0, 3, (4, 30))
    for row, found in zip(weights, weighted_ranking(values, labels, weights).auroc, strict=True):
        assert found == pytest.approx(auroc(np.repeat(values, row), np.repeat(labels, row)))


def test_the_mode_follows_the_labels(labelled):
    assert mode_of(samples_of(labelled)) == mode_of(samples_of(labelled, masks=1)) == "masks"
    assert mode_of(samples_of(labelled, masks=0)) == "labels"
