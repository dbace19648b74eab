"""Which parts int8 leaves out: none where it does no harm, else those that hurt, and never more tries than bounded."""

from fbclip.export.quantise import part_pattern, parts
from fbclip.export.search import LIMIT, MOST_GROUPS, grouped_parts, search_float_parts


class Harm:
    """Errors of parts in int8, which add up; counts how often it is asked."""

    def __init__(self, of_parts):
        self.of_parts, self.asked = of_parts, 0

    def __call__(self, in_float):
        self.asked += 1
        return sum(harm for part, harm in self.of_parts.items() if part not in in_float)


def search(of_parts):
    harm = Harm(of_parts)
    return search_float_parts(list(of_parts), harm, lambda _: None), harm


def test_where_nothing_hurts_all_is_int8_after_one_try():
    found, harm = search({"stem": 0.01, "block 1": 0.02})
    assert (found.in_float, harm.asked) == ((), 1)
    assert found.error == 0.03


def test_the_part_that_hurts_stays_in_float_and_no_other():
    found, _ = search({"features": 0.01, "stem": 0.5, "block 1": 0.02, "block 2": 0.04})
    assert found.in_float == ("stem",)
    assert found.error <= LIMIT
    assert max(found.alone, key=found.alone.get) == "stem"


def test_where_everything_hurts_the_search_ends_and_says_what_is_left():
    found, harm = search({f"block {k}": 0.3 for k in range(1, 25)})
    assert harm.asked <= 2 * MOST_GROUPS
    assert found.error > LIMIT
    assert len(found.in_float) < 24


def test_parts_are_neighbours_in_bounded_groups():
    every = parts(24, features=False)
    groups = grouped_parts(every)
    assert len(groups) <= MOST_GROUPS
    assert tuple(part for group in groups for part in group) == every


def test_the_names_that_exporters_give_belong_to_one_part():
    import re

    names = {
        "/backbone/visual/transformer/resblocks.1/attn/out_proj/MatMul": "block 2",
        "__module.backbone.visual.transformer.resblocks.1.mlp.c_fc/aten::linear/MatMul": "block 2",
        "__module.backbone.visual.transformer.resblocks.11.mlp.c_fc/aten::linear/MatMul": "block 12",
        "/backbone/features/stem/Conv": "features",
        "__module.backbone.features.blocks.1.0/aten::_convolution/Convolution": "features",
        "/backbone/visual/conv1/proj/MatMul": "stem",
    }
    for name, own in names.items():
        assert [part for part in parts(12, True) if re.fullmatch(part_pattern(part), name)] == [own]
