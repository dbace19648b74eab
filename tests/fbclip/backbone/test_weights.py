"""Real loading of open_clip weights: tiny ones made here, under OpenAI's key names."""

import hashlib

import pytest
import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from safetensors.torch import save, save_file

from fbclip.backbone import weights
from fbclip.backbone.config import BackboneConfig
from fbclip.backbone.sidecar import write_digest
from fbclip.backbone.sources import WeightsSource
from fbclip.backbone.tower import load_backbone, resize_positions
from fbclip.backbone.weights import find_weights, open_backbone, read_tensors
from fbclip.errors import ConfigError, WeightsError
from tests.factories.weights_server import weights_server

SHAPE = BackboneConfig(
    name="ViT-L-14-336",
    image_size=28,
    patch_size=14,
    layers=2,
    width=16,
    heads=2,
    embed_dim=8,
    text_width=8,
    text_heads=1,
)


@pytest.fixture
def openai(monkeypatch) -> CLIP:
    """A tiny CLIP of open_clip's own making, known under the large one's name."""
    monkeypatch.setattr(weights, "backbone_config", {"ViT-L-14-336": SHAPE}.__getitem__)
    torch.manual_seed(0)
    vision = CLIPVisionCfg(layers=2, width=16, head_width=8, patch_size=14, image_size=28)
    text = CLIPTextCfg(context_length=77, vocab_size=100, width=8, heads=1, layers=1)
    return CLIP(8, vision, text, quick_gelu=True).eval()


def test_safetensors_are_loaded_and_give_open_clips_own_features(tmp_path, openai):
    path = tmp_path / "clip.safetensors"
    save_file(openai.state_dict(), path)
    backbone, digest = open_backbone(find_weights("ViT-L-14-336", path), 28)
    images = torch.randn(2, 3, 28, 28)
    with torch.no_grad():
        ours = backbone(images, [2])[0]
        theirs = openai.visual.ln_post(ours[:, 0]) @ openai.visual.proj
        assert torch.allclose(theirs, openai.visual(images), atol=1e-5)
    assert not any(p.requires_grad for p in backbone.parameters())
    assert len(digest) == 64


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_torchscript_is_loaded_after_its_checksum(tmp_path, monkeypatch):
    path = tmp_path / "clip.pt"
    torch.jit.save(torch.jit.script(torch.nn.Sequential(torch.nn.Linear(2, 3))), str(path))
    with pytest.raises(WeightsError, match="sha256"):
        find_weights("ViT-L-14-336", path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(weights, "openai_download", lambda _: ("https://example.org/clip.pt", digest))
    assert set(read_tensors(find_weights("ViT-L-14-336", path).path, "")) == {"0.weight", "0.bias"}


def test_a_checksum_beside_the_file_must_match(tmp_path, openai):
    path = tmp_path / "clip.safetensors"
    save_file(openai.state_dict(), path)
    assert find_weights("ViT-L-14-336", tmp_path).checked is None
    sidecar = tmp_path / "clip.safetensors.sha256"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    sidecar.write_text(digest + "  clip.safetensors\n")
    assert find_weights("ViT-L-14-336", tmp_path).checked == digest
    sidecar.write_text("0" * 64)
    with pytest.raises(WeightsError, match="damaged or foreign"):
        find_weights("ViT-L-14-336", path)


@pytest.fixture
def published(monkeypatch, tmp_path):
    """The addresses of the large backbone lead to a server of ours; the caches are empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    with weights_server() as server:
        own = WeightsSource(f"{server.url}/{'0' * 64}/clip.pt", "ViT-L-14-336.pt", "0" * 64)
        hub = WeightsSource(f"{server.url}/hub.safetensors", "ViT-L-14-336.safetensors", None)
        monkeypatch.setattr(weights, "weights_sources", lambda _: (own, hub))
        yield server


def test_a_failed_download_says_what_to_do(published, tmp_path):
    with pytest.raises(WeightsError, match=r"HTTP 404.* as ViT-L-14-336\.pt .*name it as model\.weights"):
        find_weights("ViT-L-14-336")


def test_weights_without_a_file_are_fetched_once_and_then_found(published, openai):
    published.put_on_hub("/hub.safetensors", save(openai.state_dict()))
    found = find_weights("ViT-L-14-336")
    assert (found.path.name, found.trusted) == ("ViT-L-14-336.safetensors", False)
    assert found.known(trust=False) is found
    asked = len(published.asked)
    assert find_weights("ViT-L-14-336").checked == found.checked
    assert len(published.asked) == asked
    found.path.write_bytes(b"random")
    with pytest.raises(WeightsError, match="damaged or foreign"):
        find_weights("ViT-L-14-336")


def test_a_file_that_open_clip_fetched_earlier_is_still_found(published, tmp_path, monkeypatch):
    (tmp_path / ".cache" / "clip").mkdir(parents=True)
    path = tmp_path / ".cache" / "clip" / "clip.pt"
    path.write_bytes(b"from an earlier version")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(weights, "openai_download", lambda _: ("https://example.org/clip.pt", digest))
    assert (find_weights("ViT-L-14-336").path, find_weights("ViT-L-14-336").checked) == (path, digest)
    assert published.asked == []


def test_an_unknown_file_makes_nothing_new_without_trust(tmp_path, openai):
    path = tmp_path / "clip.safetensors"
    save_file(openai.state_dict(), path)
    found = find_weights("ViT-L-14-336", path)
    with pytest.raises(WeightsError, match=r"nobody states its sha256.*fbclip fetch ViT-L-14-336.*--trust"):
        found.known(trust=False)
    assert found.known(trust=True).trusted
    write_digest(path, hashlib.sha256(path.read_bytes()).hexdigest(), trusted=True)
    assert find_weights("ViT-L-14-336", path).known(trust=False).trusted


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.pop("visual.ln_pre.weight"), "missing"),
        (lambda s: s.update({"visual.proj": torch.zeros(16, 9)}), r"proj is \(16, 9\)"),
        (lambda s: s["visual.proj"].fill_(float("nan")), "non-finite"),
        (lambda s: s.pop("visual.class_embedding"), "no CLS token"),
        (lambda s: [s.pop(k) for k in list(s) if k.startswith("visual.")], "no visual"),
    ],
)
def test_foreign_weights_are_refused(openai, change, says):
    state = {k: v.clone() for k, v in openai.state_dict().items()}
    change(state)
    with pytest.raises(WeightsError, match=says):
        load_backbone(state, SHAPE, 28)


def test_sizes_that_do_not_fit_the_patches_are_refused(openai):
    with pytest.raises(ConfigError, match="not a multiple"):
        load_backbone(openai.state_dict(), SHAPE, 30)
    backbone = load_backbone(openai.state_dict(), SHAPE, 42)
    with pytest.raises(ConfigError, match="images must be"):
        backbone(torch.zeros(1, 3, 28, 28), [1])


def test_positions_are_resized_without_touching_cls():
    table = torch.arange(5.0)[:, None].repeat(1, 3)
    resized = resize_positions(table, 4)
    assert resized.shape == (17, 3)
    assert torch.equal(resized[0], table[0])
    assert resized[1:].mean() == pytest.approx(2.5)
    with pytest.raises(WeightsError, match="square grid"):
        resize_positions(torch.zeros(7, 3), 4)
