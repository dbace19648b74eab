"""Every metric against plain loops or scikit-learn; data sets in pieces against the same in one."""

import os
import tempfile
from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score

from calibrate.errors import DataError
from calibrate.metrics.ranking import auroc, average_precision, f1_max, pr_curve_points, roc_curve_points
from calibrate.metrics.regions import aupro_exact, aupro_paper, pro_curve_points
from calibrate.metrics.runs import POSITIVE_COST, Spill, _key_of, _value_of
from calibrate.metrics.streaming import PixelStore
from tests.golden.metrics4 import plain


def image_set(seed, count=3, size=9, levels=6, share=0.15):
    """Maps with many ties, some negative, and masks with several regions, also at the border."""
    rng = np.random.default_rng(seed)
    masks = rng.random((count, size, size)) < share
    maps = (rng.integers(0, levels, masks.shape) / levels - 0.4 + 0.2 * masks).astype(np.float32)
    return maps, masks


def cases():
    maps, masks = image_set(0)
    yield "ties", maps, masks
    yield "no ties", np.random.default_rng(1).random(maps.shape, np.float32), masks
    yield "constant", np.full_like(maps, 0.25), masks
    yield "perfect", masks.astype(np.float32), masks
    yield "reversed", -masks.astype(np.float32), masks
    one = np.zeros_like(masks)
    one[1, 6:, 4:] = True
    yield "one region at the border", maps, one
    thick = np.ones_like(masks)
    thick[0, 0, :4] = False
    yield "few normal pixels", maps, thick
    yield "both zeros", np.copysign(np.float32(0), maps), masks


CASES = [pytest.param(maps, masks, id=name) for name, maps, masks in cases()]


@pytest.mark.parametrize("levels", [2, 7, 1000, 10**9])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_rankings_agree_with_sklearn(levels, kind):
    rng = np.random.default_rng(levels)
    labels = rng.random(700) < 0.3
    scores = (rng.integers(0, levels, 700) + 0.2 * levels * labels).astype(kind)
    assert auroc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert average_precision(scores, labels) == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
    precision, recall, thresholds = precision_recall_curve(labels, scores)
    by_threshold = (2 * precision * recall / np.maximum(precision + recall, 1e-300))[:-1]
    f1, threshold = f1_max(scores, labels)
    assert f1 == pytest.approx(by_threshold.max(), abs=1e-12)
    assert threshold == max(thresholds[by_threshold >= by_threshold.max() - 1e-13])
    # An alarm is at or above the threshold.
    alarm = scores >= threshold
    assert f1 == pytest.approx(2 * (alarm & labels).sum() / (alarm.sum() + labels.sum()))


@pytest.mark.parametrize("labels", [[], [True, True], [False, False]])
def test_rankings_of_one_class_are_undefined(labels):
    scores, labels = np.arange(len(labels), dtype=np.float32), np.array(labels, bool)
    for metric in (auroc, average_precision, f1_max, roc_curve_points, pr_curve_points):
        assert metric(scores, labels) is None


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(bad):
    maps, masks = image_set(2)
    maps[1, 2, 3] = bad
    for metric in (auroc, average_precision, f1_max, roc_curve_points, pr_curve_points):
        with pytest.raises(DataError, match="not finite"):
            metric(maps, masks)
    for metric in (aupro_exact, aupro_paper, pro_curve_points):
        with pytest.raises(DataError, match="not finite"):
            metric(maps, masks)
    with PixelStore() as store, pytest.raises(DataError, match="not finite"):
        store.add(maps[1], masks[1])


@pytest.mark.parametrize(("maps", "masks"), CASES)
@pytest.mark.parametrize("limit", [0.3, 0.05, 1.0])
def test_exact_aupro_is_the_plain_loop(maps, masks, limit):
    assert aupro_exact(maps, masks, limit) == pytest.approx(plain.aupro_exact(maps, masks, limit), abs=1e-12)
    points = pro_curve_points(maps, masks, limit)
    assert points[-1, 0] == limit
    assert auc(points[:, 0], points[:, 1]) / limit == pytest.approx(aupro_exact(maps, masks, limit), abs=1e-12)


@pytest.mark.parametrize(("maps", "masks"), CASES)
def test_paper_aupro_is_the_plain_loop(maps, masks):
    mine = aupro_paper(maps, masks)
    if mine is None:
        with pytest.raises((ZeroDivisionError, ValueError)):
            plain.aupro_paper(maps, masks)
    else:
        assert mine == pytest.approx(plain.aupro_paper(maps, masks), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(2, 7), st.integers(1, 40), st.floats(0.02, 0.9))
def test_any_small_set_agrees_with_the_plain_loops(seed, count, size, levels, share):
    maps, masks = image_set(seed, count, size, levels, share)
    flat, truth = maps.ravel().tolist(), masks.ravel().tolist()
    if not masks.any() or masks.all():
        assert aupro_exact(maps, masks) is None
        assert auroc(maps, masks) is None
        return
    assert aupro_exact(maps, masks) == pytest.approx(plain.aupro_exact(maps, masks, 0.3), abs=1e-12)
    assert auroc(maps, masks) == pytest.approx(plain.auroc(flat, truth), abs=1e-12)
    assert average_precision(maps, masks) == pytest.approx(plain.average_precision(flat, truth), abs=1e-12)
    assert f1_max(maps, masks)[0] == pytest.approx(plain.f1_max(flat, truth), abs=1e-12)
    # Rank metrics do not see a monotone change of the values.
    assert aupro_exact(4 * maps, masks) == pytest.approx(aupro_exact(maps, masks), abs=1e-12)


def test_regions_count_the_same_and_diagonals_hold_together():
    mask = np.zeros((1, 6, 6), bool)
    mask[0, :2, :2] = mask[0, 2, 2] = True
    mask[0, 5, 5] = True
    found = np.zeros(mask.shape, np.float32)
    found[0, 5, 5] = 1
    # One of two regions is found without a false alarm; the other lies level with all normal pixels.
    assert aupro_exact(found, mask) == pytest.approx(0.5 + 0.5 * 0.15)


@pytest.mark.parametrize("fill", [False, True])
def test_aupro_without_regions_or_without_normal_pixels_is_undefined(fill):
    maps, masks = image_set(3)
    masks[:] = fill
    for metric in (aupro_exact, aupro_paper, pro_curve_points):
        assert metric(maps, masks) is None
        assert metric(maps[:0], masks[:0]) is None


@pytest.mark.parametrize("limit", [0.0, -1.0, 1.5, float("nan")])
def test_limits_that_are_no_rate_are_refused(limit):
    with pytest.raises(ValueError, match="limit"):
        aupro_exact(*image_set(0), limit)


def test_shapes_that_do_not_fit_are_refused():
    maps, masks = image_set(0)
    for metric in (auroc, aupro_exact, aupro_paper):
        with pytest.raises(DataError, match="shape"):
            metric(maps, masks[:, :-1])
    with PixelStore() as store, pytest.raises(DataError, match="equal images"):
        store.add(maps[0], masks[0, :-1])


def smooth_set(seed=5):
    rng = np.random.default_rng(seed)
    masks = np.zeros((12, 96, 96), bool)
    for mask in masks[:9]:
        y, x = rng.integers(0, 80, 2)
        mask[y : y + rng.integers(2, 30), x : x + rng.integers(2, 30)] = True
    maps = rng.standard_normal(masks.shape, dtype=np.float32) + np.float32(2) * masks
    return maps, masks


def test_thinned_curves_keep_their_areas():
    maps, masks = smooth_set()
    roc, pr, pro = roc_curve_points(maps, masks), pr_curve_points(maps, masks), pro_curve_points(maps, masks)
    assert max(len(roc), len(pr), len(pro)) < 500
    assert auc(*roc.T) == pytest.approx(auroc(maps, masks), abs=1e-3)
    assert auc(*pr.T) == pytest.approx(average_precision(maps, masks), abs=3e-3)
    assert auc(*pro.T) / 0.3 == pytest.approx(aupro_exact(maps, masks), abs=1e-3)
    assert roc[0].tolist() == [0, 0]
    assert roc[-1].tolist() == [1, 1]
    for curve in (roc, pr, pro):
        assert (np.diff(curve[:, 0]) >= 0).all()


def in_one(maps, masks):
    f1 = f1_max(maps, masks) or (None, None)
    return [auroc(maps, masks), average_precision(maps, masks), *f1, aupro_exact(maps, masks)]


@pytest.mark.parametrize(("maps", "masks"), CASES)
@pytest.mark.parametrize("buffer", [1, 40, 10**6])
def test_a_data_set_in_pieces_gives_the_same_numbers(maps, masks, buffer):
    with PixelStore(buffer=buffer) as store:
        for values, mask in zip(maps, masks, strict=True):
            store.add(values, mask)
        result = store.result()
        paper = store.aupro_paper()
        curves = store.curves()
        assert store.result() == result
    assert result[:5] == pytest.approx(in_one(maps, masks), abs=1e-12)
    assert result.n_pixels == maps.size
    assert result.n_regions == sum(len(plain.regions(mask)) for mask in masks)
    assert paper == (None if aupro_paper(maps, masks) is None else pytest.approx(aupro_paper(maps, masks), abs=1e-12))
    assert np.allclose(curves.pro, pro_curve_points(maps, masks), atol=1e-12)
    assert np.allclose(curves.roc, roc_curve_points(maps, masks), atol=1e-12)
    assert np.allclose(curves.precision_recall, pr_curve_points(maps, masks), atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 300), st.integers(1, 300), st.floats(0.0, 1.0))
def test_pieces_of_any_size_give_the_same_numbers(seed, count, buffer, levels, share):
    maps, masks = image_set(seed, count, 7, levels, share)
    with PixelStore(buffer=buffer) as store:
        for values, mask in zip(maps, masks, strict=True):
            store.add(values, mask)
        assert store.result()[:5] == pytest.approx(in_one(maps, masks), abs=1e-12)


def test_maps_of_several_sizes_and_of_the_whole_range_of_numbers():
    rng = np.random.default_rng(6)
    extremes = np.array([3.4e38, -3.4e38, 1e-45, -1e-45, 0.0, -0.0], np.float32)
    parts = [(rng.choice(extremes, size), rng.random(size) < 0.3) for size in ((3, 4), (8, 2), (1, 1), (0, 4))]
    with PixelStore(buffer=8) as store:
        for values, mask in parts:
            store.add(values, mask)
        result = store.result()
    flat = [np.concatenate([p[k].ravel() for p in parts]) for k in (0, 1)]
    assert result.auroc == pytest.approx(auroc(*flat), abs=1e-12)
    assert result.average_precision == pytest.approx(average_precision(*flat), abs=1e-12)


def test_float_keys_rise_with_the_values():
    values = [-3.4e38, -1.5, -1e-45, -0.0, 0.0, 1e-45, 0.3, 3.4e38]
    keys = [_key_of(v) for v in values]
    assert keys == sorted(set(keys))
    assert [float(_value_of(k)) for k in keys] == [float(np.float32(v)) for v in values]


def test_the_callers_arrays_are_neither_kept_nor_changed():
    maps, masks = image_set(7)
    before, buffer = maps.copy(), maps[0].copy()
    with PixelStore() as store:
        for values, mask in zip(maps, masks, strict=True):
            buffer[:] = values
            store.add(buffer, mask)
            buffer[:] = 99
        store.add(buffer, np.zeros_like(masks[0]))
        buffer[:] = -99
        assert store.result().n_pixels == 4 * buffer.size
        assert store.result().auroc == pytest.approx(
            auroc(np.append(maps, np.full(buffer.size, 99.0)), np.append(masks, np.zeros(buffer.size, bool)))
        )
    in_one(maps, masks)
    aupro_paper(maps, masks)
    assert (maps == before).all()


def test_an_empty_store_knows_nothing():
    with PixelStore() as store:
        assert store.result() == (None, None, None, None, None, 0, 0)
        assert store.curves() is None
        assert store.aupro_paper() is None
        with pytest.raises(DataError, match="float64"):
            store.add(np.zeros((2, 2)), np.zeros((2, 2), bool))


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, None])
def test_no_temporary_file_stays(tmp_path, error):
    maps, masks = image_set(8)
    with pytest.raises(error) if error else nullcontext(), PixelStore(tmp_path, buffer=1) as store:
        store.add(maps[0], masks[0])
        store.add(maps[1], masks[1])
        assert len(store._spill.runs) == 2
        if error:
            raise error
        store.result()
    assert list(tmp_path.iterdir()) == []
    store.close()


def test_a_folder_that_cannot_hold_the_pixels_is_told(tmp_path, monkeypatch):
    maps, masks = image_set(9)
    with PixelStore(tmp_path / "missing", buffer=1) as store, pytest.raises(DataError, match="missing: cannot hold"):
        store.add(maps[0], masks[0])
    real = tempfile.TemporaryFile

    def full(**kwargs):
        file = real(**kwargs)
        os.close(file.fileno())
        return file

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with PixelStore(tmp_path, buffer=1) as store, pytest.raises(DataError, match="cannot hold"):
        store.add(maps[0], masks[0])


def test_what_is_loaded_at_once_is_bounded(monkeypatch):
    """No slice but that of a single value exceeds the buffer, which fills up for the rest."""
    maps, masks = smooth_set()
    maps[:2] = 0.125
    loads = []
    from calibrate.metrics import streaming

    real = streaming.group_positives

    def watched(negatives, values, *rest):
        loads.append(len(negatives) + POSITIVE_COST * len(values))
        return real(negatives, values, *rest)

    monkeypatch.setattr(streaming, "group_positives", watched)
    with PixelStore(buffer=10_000) as store:
        for values, mask in zip(maps, masks, strict=True):
            store.add(values, mask)
        result = store.result()
    assert max(loads) <= 10_000
    assert len(loads) < 2 * sum(loads) / 10_000 + 2
    assert result[:5] == pytest.approx(in_one(maps, masks), abs=1e-12)


def test_a_spill_reads_what_it_wrote():
    spill = Spill(None)
    columns = np.arange(5, dtype=np.float32), np.arange(3, dtype=np.float32), np.arange(3, dtype=np.int32)
    spill.write(*columns)
    spill.write(*columns)
    for run in spill.runs:
        for column, expected in zip(run, columns, strict=True):
            assert len(column) == len(expected)
            assert column[:].tolist() == expected.tolist()
            assert column[1:2].tolist() == [1]
            assert column[2] == 2
            assert column[2:2].tolist() == []
    spill.close()
