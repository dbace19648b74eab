"""The layers that train: they compute what the run time's layers compute."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from calibrate.embedded.pretraining.layers import CaptionEmbedding


def test_known_words_are_looked_up_by_their_vocabulary_id_and_others_are_an_error() -> None:
    torch.manual_seed(0)
    embedding = CaptionEmbedding(torch.tensor([0, 7, 40]), 50, 3)
    whole = nn.Embedding(50, 3)
    with torch.no_grad():
        whole.weight[[0, 7, 40]] = embedding.weight
    ids = torch.tensor([[7, 0, 40], [40, 40, 7]])
    assert torch.equal(embedding(ids), whole(ids))
    with pytest.raises(IndexError):
        embedding(torch.tensor([[8]]))
