"""A batch that does not fit is halved until it does; no row is lost, none is computed twice, and it is remembered."""

import logging

import pytest

from fbclip.batches.fitting import BatchLimit, in_fitting_batches
from fbclip.errors import DeviceLostError, DeviceMemoryError


class Device:
    def __init__(self, holds: int) -> None:
        self.holds, self.tried, self.freed = holds, [], 0

    def compute(self, rows):
        self.tried.append(len(rows))
        if len(rows) > self.holds:
            raise DeviceMemoryError("cuda:0: out of memory")
        return [row * 10 for row in rows]

    def free(self):
        self.freed += 1


def run(device, limit, count, most=8):
    return in_fitting_batches(range(count), most, limit, device.compute, device.free)


@pytest.mark.parametrize(("holds", "tried"), [(8, [8, 5]), (5, [8, 4, 4, 4, 1]), (1, [8, 4, 2, *[1] * 13])])
def test_halved_until_it_fits_in_order_and_complete(holds, tried, caplog):
    device, limit = Device(holds), BatchLimit()
    with caplog.at_level(logging.WARNING):
        assert run(device, limit, 13) == [row * 10 for row in range(13)]
    assert device.tried == tried
    halvings = sum(size > holds for size in tried)
    assert device.freed == len(caplog.records) == halvings
    assert (limit.note() is None) == (halvings == 0)


def test_what_fits_is_remembered_and_said():
    device, limit = Device(3), BatchLimit()
    run(device, limit, 8)
    device.tried.clear()
    run(device, limit, 8)
    assert device.tried == [2, 2, 2, 2]
    assert "no more than 2 images at once" in limit.note()


def test_one_image_that_does_not_fit_and_other_failures_are_not_hidden():
    with pytest.raises(DeviceMemoryError):
        run(Device(0), BatchLimit(), 4)

    def lost(_rows):
        raise DeviceLostError("cuda:0: gone")

    limit = BatchLimit()
    with pytest.raises(DeviceLostError):
        in_fitting_batches(range(4), 8, limit, lost, lambda: None)
    assert limit.rows is None
