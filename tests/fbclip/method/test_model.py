"""The whole head against the plain formulas, and that rows do not depend on their neighbours."""

import copy

import pytest
import torch

from fbclip.method.attention import Gate
from fbclip.method.config import AttentionConfig, FBCLIPConfig
from fbclip.method.model import Head
from tests.factories import plain_formulas as plain


def random_head(seed: int, width: int = 12, **changes):
    torch.manual_seed(seed)
    attention = AttentionConfig(heads=2, head_width=4)
    config = FBCLIPConfig(image_size=56, feature_layers=(1, 2, 3), attention=attention, **changes)
    head = Head(width, config)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    tokens = [torch.randn(3, 17, width) * (k + 1) for k in range(3)]
    prototypes = torch.nn.functional.normalize(torch.randn(2, 10), dim=-1)
    return head, tokens, prototypes, torch.randn(width, 10)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"modules": {"mvfbe": False}},
        {"modules": {"background_subtraction": False}},
        {"modules": {"mvfbe": False, "background_subtraction": False}},
        {"views": ("identity",)},
        {"views": ("semantic",)},
        {"views": ("spatial", "identity")},
    ],
)
def test_head_equals_the_plain_formulas(changes):
    head, tokens, prototypes, projection = random_head(3, **changes)
    head = head.double()
    tokens = [t.double() for t in tokens]
    prototypes, projection = prototypes.double(), projection.double()
    with torch.no_grad():
        fast = torch.sigmoid(head(tokens, prototypes, projection).margins)
        for row in range(3):
            slow = plain.probabilities(head, [t[row] for t in tokens], prototypes, projection)
            assert (fast[row] - slow).abs().max() < 1e-9


def test_a_row_does_not_depend_on_its_neighbours():
    head, tokens, prototypes, projection = random_head(4)
    with torch.no_grad():
        together = head(tokens, prototypes, projection).margins
        alone = head([t[1:2] for t in tokens], prototypes, projection).margins
    assert (together[1:2] - alone).abs().max() < 1e-4 * alone.abs().max()


def test_a_copied_gate_computes_with_its_own_weights_under_the_stored_names():
    gate = Gate(6)
    copied = copy.deepcopy(gate)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.zero_()
    assert list(gate.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert copied.linear[0].weight.abs().max() == 0 < gate.linear[0].weight.abs().max()
