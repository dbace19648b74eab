"""Which images are in which batch."""

from calibrate.defects.on_images import Item
from calibrate.tuning.features import in_order, shuffled
from calibrate.tuning.split import make_split
from tests.factories.tuning import labelled_samples, unread_sample


def test_batches_hold_known_masks_or_none(labelled):
    items = [Item(s) for s in labelled_samples(labelled, masks=5)]
    batches = shuffled(items, 4, 1, 0)
    assert sorted(i for b in batches for i in b.indices) == list(range(16))
    for batch in batches:
        assert not batch.pixel or all(items[i].masked for i in batch.indices)
        assert batch.pixel or not all(items[i].masked and items[i].anomalous for i in batch.indices)
    assert batches == shuffled(items, 4, 1, 0) != shuffled(items, 4, 1, 1)
    assert sorted(i for p in in_order(items, 3) for i in p.indices) == list(range(16))
    none = [Item(s) for s in labelled_samples(labelled, masks=0)]
    assert not any(p.pixel for p in [*shuffled(none, 4, 1, 0), *in_order(none, 4)])


def test_half_of_a_batch_is_normal_where_defects_are_painted():
    items = make_split([unread_sample(f"g{k}", False) for k in range(20)], 3, 0).train
    for batch in shuffled(items, 4, 0, 0):
        assert sum(items[i].anomalous for i in batch.indices) == 2
        assert batch.pixel
