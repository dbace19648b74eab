"""Scans of several slices in a data set: each slice is judged, empty ones are not, and the file is the unit."""

import numpy as np

from calibrate.datasets.reader import read_data
from calibrate.datasets.slices import depth_note, with_slices
from calibrate.defects.on_images import Item
from calibrate.inference import FramedItem, Skipped, Skips, frame_item, read_sample
from fbclip.images.decode import decode_picture
from fbclip.images.framing import Framing, frame_image
from tests.factories.images import write_image
from tests.factories.scans import a_dicom, a_nifti, blob


def test_a_volume_is_one_unit_of_many_samples(tmp_path):
    voxels = blob(20, 24, 5)
    voxels[:, :, 0] = -200
    volume = a_nifti(voxels, packed=True)
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "1.nii.gz").write_bytes(volume)
    (tmp_path / "good" / "IM0001").write_bytes(a_dicom(blob(3, seed=1)))
    (tmp_path / "good" / "2.840.1234").write_bytes(a_dicom(blob(1, seed=2)[0]))
    (tmp_path / "good" / "notes").write_bytes(b"no image")
    write_image(tmp_path / "good" / "a.png")
    samples = with_slices(read_data(tmp_path)).samples
    found = [(s.path.name, s.slice) for s in samples]
    assert found == [
        *(("1.nii.gz", i) for i in range(5)), ("2.840.1234", None), *(("IM0001", i) for i in range(3)), ("a.png", None),
    ]  # fmt: skip
    assert len({s.unit for s in samples}) == 4
    picture = decode_picture(volume)
    assert np.array_equal(read_sample(samples[3]), picture.image(picture.at(3)))
    # The last slice that is read of one volume, and the first of the next.
    results = [frame_item(Item(s), lambda image: frame_image(image, Framing(), 32, 8)) for s in samples]
    skips = Skips()
    kept = list(skips.rest(results))
    empty = [r for r in results if isinstance(r, Skipped)]
    assert [s.reason for s in empty] == ["empty_slice"] and empty[0].sample.slice == 0
    assert len(kept) == 9 and all(isinstance(one, FramedItem) for one in kept) and skips.skipped == []


def test_the_note_on_unused_bits_is_of_images_that_all_leave_them(tmp_path):
    import cv2

    (tmp_path / "good").mkdir()
    for k, bits in enumerate((10, 12)):
        deep = np.random.default_rng(k).integers(0, 1 << bits, (20, 20)).astype(np.uint16)
        cv2.imwrite(str(tmp_path / "good" / f"{k}.png"), deep)
    samples = read_data(tmp_path).samples
    assert "use 12 of their 16 bits, so they are seen 16 times too dark; add --window 0,4095" in depth_note(
        samples, "full"
    )
    assert depth_note(samples, (0.0, 4095.0)) is None
    write_image(tmp_path / "good" / "plain.png")
    assert depth_note(read_data(tmp_path).samples, "dicom") is None
