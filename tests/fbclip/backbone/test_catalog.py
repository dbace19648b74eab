"""One name selects a backbone; towers that cannot carry the method are refused with the reason."""

import pytest
import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from safetensors.torch import save_file

from fbclip.backbone.catalog import backbone_config, openai_download, usable_backbones
from fbclip.backbone.config import EMBEDDED, VIT_L_14_336
from fbclip.backbone.weights import WeightsFile, find_weights, open_backbone
from fbclip.bench.benchmark import random_parts
from fbclip.errors import ConfigError, WeightsError
from fbclip.method.config import FBCLIPConfig
from fbclip.method.defaults import method_for


@pytest.mark.parametrize(
    ("name", "patch", "layers", "width", "heads", "embed", "mlp", "quick"),
    [
        ("ViT-B-32", 32, 12, 768, 12, 512, 4.0, False),
        ("ViT-B-32-quickgelu", 32, 12, 768, 12, 512, 4.0, True),
        ("ViT-B-16", 16, 12, 768, 12, 512, 4.0, False),
        ("ViT-L-14", 14, 24, 1024, 16, 768, 4.0, False),
        ("ViT-H-14", 14, 32, 1280, 16, 1024, 4.0, False),
        ("ViT-g-14", 14, 40, 1408, 16, 1024, 4.3637, False),
        ("ViT-bigG-14", 14, 48, 1664, 16, 1280, 4.9231, False),
    ],
)
def test_open_clips_own_names(name, patch, layers, width, heads, embed, mlp, quick):
    c = backbone_config(name)
    assert (c.patch_size, c.layers, c.width, c.heads, c.embed_dim, c.mlp_ratio, c.quick_gelu) == (
        patch, layers, width, heads, embed, mlp, quick
    )  # fmt: skip
    assert name in usable_backbones()


def test_the_two_words_of_the_contract():
    assert backbone_config("embedded") is EMBEDDED
    assert backbone_config("ViT-L-14-336") is VIT_L_14_336
    assert method_for(VIT_L_14_336) == FBCLIPConfig()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("ViT-B-16-SigLIP", "timm"),
        ("EVA02-B-16", "timm"),
        ("RN50", "ResNet"),
        ("coca_ViT-L-14", "CoCa"),
        ("ViT-H-14-CLIPA", "mean of the patches|tokenizer"),
        ("xlm-roberta-base-ViT-B-32", "text tower"),
        ("ViT-H-14-worldwide", "tokenizer|not supported"),
        ("ViT-B-33", "did you mean"),
    ],
)
def test_towers_that_cannot_be_used_say_why(name, why):
    with pytest.raises(ConfigError, match=why):
        backbone_config(name)


def test_a_grid_that_is_not_square_is_refused(monkeypatch):
    odd = {"embed_dim": 8, "vision_cfg": {"image_size": [224, 448], "layers": 2, "width": 64, "patch_size": 16}}
    odd["text_cfg"] = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1}
    monkeypatch.setattr("open_clip.get_model_config", lambda _: odd)
    with pytest.raises(ConfigError, match="not square"):
        backbone_config("odd")


@pytest.mark.parametrize(
    ("name", "layers", "size"),
    [
        ("ViT-B-32", (1, 3, 6, 9, 12), 512),
        ("ViT-B-16", (1, 3, 6, 9, 12), 512),
        ("ViT-H-14", (1, 8, 16, 24, 32), 518),
    ],
)
def test_other_depths_are_read_at_the_same_places(name, layers, size):
    method = method_for(backbone_config(name))
    assert (method.feature_layers, method.image_size) == (layers, size)
    with pytest.raises(ConfigError, match="multiple of the patch size"):
        method_for(backbone_config(name), size + 1)


def test_real_dimensions_run_with_random_weights():
    config = backbone_config("ViT-B-32")
    backbone, head = random_parts(config, method_for(config, 96))
    with torch.inference_mode():
        tokens = backbone(torch.randn(1, 3, 96, 96), head.config.feature_layers)
        out = head(tokens, torch.randn(2, 512), backbone.projection)
    assert [tuple(t.shape) for t in tokens] == [(1, 10, 768)] * 5
    assert out.grid_margin.shape == (1, 3, 3)


def test_a_wide_mlp_is_loaded_as_open_clip_makes_it(tmp_path):
    """head_width and mlp_ratio other than the usual, as in the largest towers."""
    torch.manual_seed(0)
    vision = CLIPVisionCfg(layers=2, width=48, head_width=24, patch_size=8, image_size=16, mlp_ratio=4.9231)
    text = CLIPTextCfg(context_length=77, vocab_size=100, width=8, heads=1, layers=1)
    model = CLIP(12, vision, text).eval()
    save_file(model.state_dict(), tmp_path / "clip.safetensors")
    shape = {"image_size": 16, "patch_size": 8, "layers": 2, "width": 48, "heads": 2, "embed_dim": 12, "stem": "patch"}
    config = EMBEDDED.model_copy(update={**shape, "mlp_ratio": 4.9231})
    backbone, _ = open_backbone(WeightsFile(config, tmp_path / "clip.safetensors"), 16)
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        cls = model.visual.ln_post(backbone(images, [2])[0][:, 0]) @ model.visual.proj
        assert torch.allclose(cls, model.visual(images), atol=1e-5)


def test_a_tower_without_cls_is_refused_when_it_is_loaded(tmp_path):
    save_file({"visual.trunk.pos_embed": torch.zeros(1, 4, 8)}, tmp_path / "siglip.safetensors")
    with pytest.raises(WeightsError, match="no CLS token"):
        open_backbone(WeightsFile(EMBEDDED, tmp_path / "siglip.safetensors"), 256)


def test_weights_are_found_by_name_in_a_folder_and_never_run_unchecked(tmp_path):
    for name in ("ViT-B-32", "ViT-L-14-336"):
        save_file({"x": torch.zeros(1)}, tmp_path / f"{name}.safetensors")
    assert find_weights("ViT-B-32", tmp_path).path.name == "ViT-B-32.safetensors"
    with pytest.raises(WeightsError, match=r"needs ViT-H-14\.safetensors"):
        find_weights("ViT-H-14", tmp_path)
    with pytest.raises(WeightsError, match="needs a local file"):
        find_weights("ViT-H-14")
    (tmp_path / "any.pt").write_bytes(b"code")
    with pytest.raises(WeightsError, match="archive of code"):
        find_weights("ViT-H-14", tmp_path / "any.pt")


def test_openais_files_are_known_by_the_checksum_in_their_address():
    url, digest = openai_download("ViT-L-14-336")
    assert digest == "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02"
    assert url.endswith("/ViT-L-14-336px.pt")
    assert openai_download("ViT-B-32-quickgelu") is not None
    assert openai_download("ViT-B-32") is None
    assert openai_download("ViT-H-14-quickgelu") is None
