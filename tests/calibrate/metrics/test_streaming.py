"""Data sets in pieces against the same in one."""

import os
import tempfile
from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibrate.errors import DataError
from calibrate.metrics.points import pr_curve_points, roc_curve_points
from calibrate.metrics.ranking import auroc, average_precision
from calibrate.metrics.regions import aupro_paper, pro_curve_points
from calibrate.metrics.runs import POSITIVE_COST
from calibrate.metrics.streaming import PixelStore
from tests.factories.maps import CASES, image_set, in_one, smooth_set
from tests.golden.metrics4 import plain


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
