"""The text side without MSTFF."""

import torch

from fbclip.backbone.weights import WeightsFile
from fbclip.method.config import TextConfig
from fbclip.method.text import PromptFusion, load_text_tower
from tests.golden.make_golden import HERE, backbone_config


def test_without_mstff_the_prototype_is_the_eot_feature():
    weights = WeightsFile(backbone_config(), HERE / "backbone.safetensors")
    tower = load_text_tower(weights.all(), weights.config)
    torch.manual_seed(0)
    fusion = PromptFusion(weights.config, TextConfig(), mstff=False)
    with torch.no_grad():
        x = tower(fusion.embed(tower))
        eot = [x[row, int(ids.argmax())] @ tower.text_projection for row, ids in enumerate(fusion.ids)]
        expected = torch.nn.functional.normalize(torch.stack(eot), dim=-1)
        assert torch.allclose(fusion(tower), expected, atol=1e-6)
        fusion.mstff = True
        assert not torch.allclose(fusion(tower), expected, atol=1e-3)
