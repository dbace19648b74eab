"""A detector on a device that makes tiles, captures and fails: the same predictions, no frame lost, faults named."""

import numpy as np
import pytest
import torch

from fbclip.detector import Job
from fbclip.errors import DeviceLostError, DeviceMemoryError
from fbclip.images.framing import Framing
from fbclip.images.tiling import Tiling
from fbclip.method.maps import combined_matrix, smoothed_with
from tests.factories.accelerators import FaultyAccelerator, tiny_detector_on
from tests.factories.models import tiny_detector, tiny_fusion, tiny_memory

RNG = np.random.default_rng(9)
MEMORY = tiny_memory()


def jobs(detector, count, framing=Framing()):
    """Of both adapters and two sizes of picture, every other one with a memory."""
    rng = np.random.default_rng(3)
    return [
        Job(
            detector.frame(rng.integers(0, 256, (40 + n % 2, 50, 3), dtype=np.uint8), framing).tiles,
            detector.adapters[n % 2],
            4.0,
            framing.tiling,
            *((MEMORY.id, tiny_fusion()) if n % 2 else ()),
        )
        for n in range(count)
    ]


def assert_same(one, other):
    assert len(one) == len(other)
    for want, got in zip(one, other, strict=True):
        assert want.margin == pytest.approx(got.margin, abs=1e-5)
        assert np.abs(want.map - got.map).max() <= 1e-5


@pytest.mark.parametrize("framing", [Framing(), Framing(tiling=Tiling(columns=2, rows=2))])
def test_it_predicts_what_the_cpu_predicts_however_often_it_is_asked(framing):
    device = FaultyAccelerator()
    there, here = tiny_detector_on(device, [MEMORY]), tiny_detector([MEMORY])
    want = here.infer(jobs(here, 5, framing))
    for _ in range(3):
        assert_same(want, there.infer(jobs(there, 5, framing)))
    assert device.captured
    # Pixels go up as they are, an image once.
    assert {one.dtype for one in device.uploads} == {torch.uint8}
    # Rows of an image with tiles may be split over two passes, but no further.
    assert 3 * 5 <= len(device.uploads) <= 3 * (5 + (0 if framing.tiling is None else 2))


def test_out_of_memory_halves_the_batch_and_loses_no_frame():
    device = FaultyAccelerator(holds=3)
    there, here = tiny_detector_on(device, [MEMORY]), tiny_detector([MEMORY])
    # Both adapters have four rows of eight, and two of four.
    assert_same(here.infer(jobs(here, 8)), there.infer(jobs(there, 8)))
    assert device.freed == 1
    assert "no more than 4 images" in there.note
    # A detector with more of a line's files knows as well.
    assert there.extended(memories=[tiny_memory(seed=5)]).note == there.note
    there.infer(jobs(there, 8))
    assert device.freed == 1


def test_one_image_too_many_is_named():
    there = tiny_detector_on(FaultyAccelerator(holds=0))
    with pytest.raises(DeviceMemoryError, match="out of memory"):
        there.infer(jobs(there, 1))


def test_a_lost_device_is_named_and_a_mere_failure_is_not_taken_for_one():
    device = FaultyAccelerator()
    there = tiny_detector_on(device)
    device.failing, device.alive = RuntimeError("CUDA error: unspecified launch failure"), False
    with pytest.raises(DeviceLostError, match="does not answer any more: CUDA error: unspecified launch failure"):
        there.infer(jobs(there, 1))
    device.alive = True
    with pytest.raises(RuntimeError, match="unspecified launch failure") as found:
        there.infer(jobs(there, 1))
    assert not isinstance(found.value, DeviceLostError)
    device.failing = None
    assert there.infer(jobs(there, 1))[0].finite


def test_what_a_capture_reads_stays_where_it_lies_when_caches_are_emptied(monkeypatch):
    """A graph holds addresses: a matrix that a cache let go of would be read after it was freed."""
    used = []

    def watched(matrix, grid):
        used.append(matrix)
        return smoothed_with(matrix, grid)

    monkeypatch.setattr("fbclip.engines.torch_engine.smoothed_with", watched)
    there = tiny_detector_on(FaultyAccelerator())
    for _ in range(3):
        there.infer(jobs(there, 1))
        combined_matrix.cache_clear()
    assert len({matrix.data_ptr() for matrix in used}) == 1


def test_warming_up_captures_what_a_single_image_takes():
    device = FaultyAccelerator()
    there = tiny_detector_on(device)
    there.warm_up()
    # The shared backbone once, and each adapter's own head.
    assert device.captured == [1, 1, 1]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_real_gpu_predicts_what_the_cpu_predicts(precision):
    from fbclip.engines.torch_engine import TorchEngine
    from fbclip.images.preprocess import preprocess, preprocess_pixels
    from tests.factories.models import tiny_adapter, tiny_backbone

    image = RNG.integers(0, 256, (301, 197, 3), dtype=np.uint8)
    assert torch.equal(preprocess_pixels(torch.from_numpy(image).cuda(), 112).cpu(), preprocess(image, 112))
    backbone, digest = tiny_backbone()
    here = tiny_detector([MEMORY])
    engine = TorchEngine(backbone, digest, [tiny_adapter(2), tiny_adapter(3)], torch.device("cuda"), precision)
    there = type(here)(engine, [MEMORY])
    want = here.infer(jobs(here, 5))
    bound = 1e-3 if precision == "float32" else 0.5
    for _ in range(3):
        for one, other in zip(want, there.infer(jobs(there, 5)), strict=True):
            assert np.abs(one.map - other.map).max() <= bound
