"""Which images train, stop and test: disjoint, stratified, refused when too few."""

from dataclasses import replace

import pytest

from calibrate.datasets.reader import read_data
from calibrate.defects.on_images import EVALUATION_KINDS, TUNE_KINDS
from calibrate.errors import DataError
from calibrate.tuning.split import make_split, mode_of, select
from tests.factories.tuning import labelled_samples, unread_sample


def test_parts_are_disjoint_and_stratified():
    samples = [unread_sample(f"g{k}", False, f"g{k}-{n}") for k in range(20) for n in range(2)]
    samples += [unread_sample(f"b{k}", True) for k in range(12)]
    split = make_split(samples, 4, 0)
    units = [{i.sample.unit for i in items} for items in (split.train, split.validation, split.test)]
    assert not (units[0] & units[1]) | (units[0] & units[2]) | (units[1] & units[2])
    assert [len(u) for u in units] == [20 - 5 - 3 + 12 - 3 - 2, 3 + 2, 5 + 3]
    assert split.mode == "labels"
    assert len(split.samples) == len(samples)


def test_normal_only_paints_held_out_kinds_to_test():
    split = make_split([unread_sample(f"g{k}", False) for k in range(20)], 4, 0)
    assert split.mode == "good only"
    assert [len(p) for p in (split.train, split.validation, split.test)] == [12 * 5, 6, 10]
    kinds = [{k for i in items if i.defect for k in i.defect.kinds} for items in (split.train, split.test)]
    assert kinds == [set(TUNE_KINDS), set(EVALUATION_KINDS)]
    many = make_split([unread_sample(f"{k}", False) for k in range(999)], 9, 0)
    assert sum(i.defect is not None for i in many.train) == 2000


def test_too_little_data_is_refused(labelled):
    with pytest.raises(DataError, match="2 normal units are too few"):
        make_split([unread_sample("a", False), unread_sample("b", False)], 4, 0)
    with pytest.raises(DataError, match="2 anomalous units are too few"):
        normal = [unread_sample(f"g{k}", False) for k in range(9)]
        make_split([*normal, unread_sample("x", True), unread_sample("y", True)], 4, 0)
    twins = [replace(unread_sample(f"g{k}", False), sha256="same") for k in range(9)]
    with pytest.raises(DataError, match="same image"):
        make_split(twins, 4, 0)
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


def test_the_mode_follows_the_labels(labelled):
    assert mode_of(labelled_samples(labelled)) == mode_of(labelled_samples(labelled, masks=1)) == "masks"
    assert mode_of(labelled_samples(labelled, masks=0)) == "labels"
