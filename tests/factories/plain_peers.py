"""The compared methods once more, in float64 and as plainly as their descriptions read: loops, no shared code.

`W` is a state dict in OpenAI's key names. B images, N tokens with CLS first, [normal, abnormal] throughout.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from open_clip import SimpleTokenizer
from scipy.ndimage import gaussian_filter
from torch.nn import functional as F


def norm(x):
    return x / x.norm(dim=-1, keepdim=True)


def layer_norm(x, W, name):
    mean, var = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
    return (x - mean) / (var + 1e-5).sqrt() * W[f"{name}.weight"] + W[f"{name}.bias"]


def activation(x, quick):
    return x * torch.sigmoid(1.702 * x) if quick else 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def attention(z, W, name, heads, mask=None, values_only=False):
    width = z.shape[-1]
    parts = z @ W[f"{name}.attn.in_proj_weight"].T + W[f"{name}.attn.in_proj_bias"]
    q, k, v = parts.split(width, dim=-1)
    if values_only:
        q = k = v
    out, d = [], width // heads
    for h in range(heads):
        own = slice(h * d, (h + 1) * d)
        scores = q[..., own] @ k[..., own].transpose(-1, -2) / math.sqrt(d)
        scores = scores if mask is None else scores + mask
        out.append(scores.softmax(-1) @ v[..., own])
    return torch.cat(out, -1) @ W[f"{name}.attn.out_proj.weight"].T + W[f"{name}.attn.out_proj.bias"]


def mlp(x, W, name, quick):
    z = layer_norm(x, W, f"{name}.ln_2")
    hidden = activation(z @ W[f"{name}.mlp.c_fc.weight"].T + W[f"{name}.mlp.c_fc.bias"], quick)
    return hidden @ W[f"{name}.mlp.c_proj.weight"].T + W[f"{name}.mlp.c_proj.bias"]


def block(x, W, name, heads, quick, mask=None):
    x = x + attention(layer_norm(x, W, f"{name}.ln_1"), W, name, heads, mask)
    return x + mlp(x, W, name, quick)


class Model:
    def __init__(self, W, case):
        self.W = {k: v.double() for k, v in W.items()}
        self.heads, self.quick = case["vision_heads"], case["quick_gelu"]
        self.text_heads, self.text_layers = case["text_heads"], case["text_layers"]
        self.names = [f"visual.transformer.resblocks.{n}" for n in range(case["vision_layers"])]
        self.size, self.patch = case["image_size"], case["patch_size"]

    def positioned(self, images):
        W = self.W
        x = F.conv2d(images.double(), W["visual.conv1.weight"], stride=self.patch).flatten(2).transpose(1, 2)
        position, side = W["visual.positional_embedding"], self.size // self.patch
        old = round((len(position) - 1) ** 0.5)
        grid = position[1:].T.reshape(1, -1, old, old)
        if old != side:
            grid = F.interpolate(grid, (side, side), mode="bilinear", align_corners=False)
        position = torch.cat((position[:1], grid.flatten(2)[0].T))
        cls = W["visual.class_embedding"].expand(len(x), 1, -1)
        return torch.cat((cls, x), 1) + position

    def start(self, images):
        return layer_norm(self.positioned(images), self.W, "visual.ln_pre")

    def layers(self, x):
        found = []
        for name in self.names:
            x = block(x, self.W, name, self.heads, self.quick)
            found.append(x)
        return found

    def embed(self, x):
        return layer_norm(x, self.W, "visual.ln_post") @ self.W["visual.proj"]

    def vv(self, z, name):
        return attention(z, self.W, name, self.heads, values_only=True)

    def encode(self, prompts, ends, deep=()):
        x = prompts + self.W["positional_embedding"]
        mask = torch.full((77, 77), float("-inf"), dtype=torch.float64).triu(1)
        for n in range(self.text_layers):
            if 1 <= n <= len(deep):
                x = x.clone()
                x[:, 1 : 1 + len(deep[n - 1])] = deep[n - 1].half().double()
            x = block(x, self.W, f"transformer.resblocks.{n}", self.text_heads, self.quick, mask)
        x = layer_norm(x, self.W, "ln_final")
        return torch.stack([row[end] for row, end in zip(x, ends, strict=True)]) @ self.W["text_projection"]

    def words(self, prompts):
        ids = torch.as_tensor(SimpleTokenizer()(prompts, 77))
        places = {int(row): n for n, row in enumerate(self.W["token_embedding.rows"])}
        rows = torch.tensor([[places[int(i)] for i in line] for line in ids])
        return self.W["token_embedding.values"][rows], ids.argmax(-1)

    def text(self, prompts):
        return self.encode(*self.words(prompts))


def probability(features, text, temperature=0.07):
    """Of features (B,...,D) and text (2,D) or (B,2,D)."""
    features, text = norm(features), norm(text)
    if text.ndim == 2:
        logits = features @ text.T / temperature
    else:
        logits = torch.stack([f @ t.T for f, t in zip(features, text, strict=True)]) / temperature
    return logits.softmax(-1)[..., 1]


def grid(values):
    side = round(values.shape[1] ** 0.5)
    return values.reshape(len(values), side, side)


def up(values, size):
    return F.interpolate(values[:, None], (size, size), mode="bilinear", align_corners=False)[:, 0]


def smooth(maps, sigma):
    return torch.from_numpy(np.stack([gaussian_filter(m.numpy(), sigma) for m in maps]))


def dual(model, images, dual_blocks):
    """Every layer's second path, and the last ordinary one."""
    x, paths, plain = model.start(images), [], len(model.names) - dual_blocks
    second = None
    for n, name in enumerate(model.names):
        if n < plain:
            x = block(x, model.W, name, model.heads, model.quick)
            paths.append(x)
            continue
        z = layer_norm(x, model.W, f"{name}.ln_1")
        second = (x if second is None else second) + model.vv(z, name)
        x = x + attention(z, model.W, name, model.heads)
        x = x + mlp(x, model.W, name, model.quick)
        paths.append(second)
    return paths, x


def vanilla(model, case, image, prompts):
    last = model.embed(model.layers(model.start(image))[-1])
    out = {"image_embedding": last[:, 0], "patch_embeddings": last[:, 1:]}
    for kind, (normal, abnormal) in prompts.items():
        text = norm(torch.stack([norm(model.text(p)).mean(0) for p in (normal, abnormal)]))
        score = probability(last, text)
        out |= {f"{kind}.text": text, f"{kind}.score": score[:, 0], f"{kind}.map_grid": grid(score[:, 1:])}
        out[f"{kind}.map_upsampled"] = up(out[f"{kind}.map_grid"], case["image_size"])
        out[f"{kind}.map_smoothed"] = smooth(out[f"{kind}.map_upsampled"], case["smoothing_sigma"])
    return out


def clipad(model, case, image, prompts, linear):
    W, ends, size = model.W, case["feature_layers"], case["image_size"]
    text = torch.stack([norm(norm(model.text(p)).mean(0)) for p in prompts])
    x, second, out = model.start(image), 0, {"text.mean": text}
    originals, seconds = {}, {}
    for n, name in enumerate(model.names):
        z = layer_norm(x, W, f"{name}.ln_1")
        second = model.vv(z, name) + (0 if n == 0 or n in ends else second)
        x = x + attention(z, W, name, model.heads)
        if n in ends:
            originals[n] = x
        x = x + mlp(x, W, name, model.quick)
        if n + 1 in ends:
            seconds[n + 1] = second
    originals[len(model.names)] = x
    total = 0
    for layer in ends:
        features = model.embed(torch.cat((originals[layer][:, :1], seconds[layer][:, 1:]), 1))
        out |= {f"layer{layer}.surgery": features, f"layer{layer}.original": originals[layer]}
        f = norm(features)
        weighted = 2 * (f[:, :1] @ text.T).softmax(-1) * (f @ text.T)
        total = total + weighted - weighted.sum(-1, keepdim=True) / 2
    sdp = up(grid(total[:, 1:, 1]), size)
    out |= {"mean.similarity": total, "mean.map_upsampled": sdp, "mean.map_smoothed": smooth(sdp, 8)}
    out["mean.score"] = (100 * f[:, 0] @ text.T).softmax(-1)[:, 1]
    out["mean.score_map_max"] = out["mean.map_smoothed"].amax((1, 2))
    # The linear layers see the representatives that DBSCAN finds; with these settings all prompts are one cluster.
    half = torch.stack([norm(model.text(p)).float().mean(0).half() for p in prompts])
    half = (half / half.norm(dim=-1, keepdim=True)).double()
    out["text.dbscan"] = half
    summed = 0
    for n, layer in enumerate(ends):
        y = originals[layer][:, 1:] @ linear[f"fc.{n}.weight"].double().T + linear[f"fc.{n}.bias"].double()
        logits = 100 * norm(y) @ half.T
        maps = torch.stack([grid(logits[..., c]) for c in (0, 1)], 1)
        maps = F.interpolate(maps, (size, size), mode="bilinear", align_corners=True)
        summed = summed + maps.softmax(1)[:, 1]
    out["plus.map_linear"] = summed
    return out


def winclip(model, case, image, reference, prompts):
    text = torch.stack([model.text(p).mean(0) for p in prompts])
    own, known = (_window_features(model, x, case["scales"]) for x in (image, reference))
    side, size = case["image_size"] // case["patch_size"], case["image_size"]
    z = probability(own["image"], text)
    out = {"text": text, "image_embedding": own["image"], "patch_tokens": own["patch"], "zero.score": z}
    zero, few = [], []
    for k in case["scales"]:
        windows = own[f"window{k}"]
        out |= {f"window{k}.embeddings": windows, f"zero.window{k}.score": probability(windows, text)}
        zero.append(_spread(out[f"zero.window{k}.score"], k, side))
        out[f"zero.window{k}.map_grid"] = zero[-1]
        bank = norm(known[f"window{k}"]).flatten(0, 1)
        out[f"few.window{k}.score"] = (1 - (norm(windows) @ bank.T).amax(-1)) / 2
        few.append(_spread(out[f"few.window{k}.score"], k, side))
    bank = norm(known["patch"]).flatten(0, 1)
    out["few.patch.score"] = (1 - (norm(own["patch"]) @ bank.T).amax(-1)) / 2
    few.append(grid(out["few.patch.score"]))
    out["zero.map_grid"] = (1 + len(zero)) / (sum(1 / m for m in zero) + 1 / z[:, None, None])
    out["few.map_grid"] = sum(few) / len(few)
    out["zero.map"] = up(out["zero.map_grid"], size)
    out["few.map"] = out["zero.map"] + up(out["few.map_grid"], size)
    out["few.score"] = (z + out["few.map_grid"].amax((1, 2))) / 2
    return out


def _window_features(model, images, scales):
    positioned, side = model.positioned(images), model.size // model.patch
    whole = model.layers(layer_norm(positioned, model.W, "visual.ln_pre"))[-1]
    out = {"image": model.embed(whole[:, 0]), "patch": whole[:, 1:]}
    for k in scales:
        rows = []
        for top in range(side - k + 1):
            for left in range(side - k + 1):
                own = [0] + [1 + (top + i) * side + left + j for i in range(k) for j in range(k)]
                x = layer_norm(positioned[:, own], model.W, "visual.ln_pre")
                rows.append(model.embed(model.layers(x)[-1][:, 0]))
        out[f"window{k}"] = torch.stack(rows, 1)
    return out


def _spread(scores, k, side):
    out = torch.zeros(len(scores), side, side, dtype=torch.float64)
    for y in range(side):
        for x in range(side):
            tops = [t for t in range(side - k + 1) if t <= y < t + k]
            lefts = [left for left in range(side - k + 1) if left <= x < left + k]
            covering = [scores[:, t * (side - k + 1) + left] for t in tops for left in lefts]
            out[:, y, x] = len(covering) / sum(1 / s for s in covering)
    return out


def learned_prompts(model, context, words):
    """Context (P,t,d) behind the start token of `words` with as many fillers."""
    embedded, ends = model.words(["X " * context.shape[1] + words] * len(context))
    embedded = embedded.clone()
    embedded[:, 1 : 1 + context.shape[1]] = context.double()
    return embedded, ends


def anomalyclip(model, case, image, learned):
    deep = [learned[f"compound_prompts_text.{n}"] for n in range(case["deep_prompt_depth"] - 1)]
    rows = [
        model.encode(*learned_prompts(model, learned[name][0], words), deep)[0]
        for name, words in (("ctx_pos", "object."), ("ctx_neg", "damaged object."))
    ]
    text, size, sigma = norm(torch.stack(rows)), case["image_size"], case["smoothing_sigma"]
    paths, ordinary = dual(model, image, case["dual_blocks"])
    cls = ordinary[:, 0] @ model.W["visual.proj"]
    out = {"text.features": text, "image_embedding": cls, "score": probability(cls, text)}
    for layer in case["feature_layers"]:
        features = model.embed(paths[layer - 1])
        out[f"layer{layer}.patch_embeddings"] = features
        out[f"layer{layer}.map"] = up(grid(probability(features[:, 1:], text)), size)
    out["map_multi"] = sum(out[f"layer{layer}.map"] for layer in case["feature_layers"])
    out["map_last"] = out[f"layer{case['feature_layers'][-1]}.map"]
    return out | {f"{name}_smoothed": smooth(out[name], sigma) for name in ("map_multi", "map_last")}


def afclip(model, case, image, reference, learned):
    prompt, adaptor = learned["state_prompt_embedding"][0].double(), learned["adaptor"]
    words, ends = model.words(["without defect.", "with defect."])
    prompts = torch.stack([torch.cat((prompt, row))[:77] for row in words])
    text = norm(model.encode(prompts, ends + len(prompt)))
    out, total, distances = {"text.features": text}, 0, []
    own, known = model.layers(model.start(image)), model.layers(model.start(reference))
    for layer in case["feature_layers"]:
        for r in case["neighbourhoods"]:
            x = _neighbours(own[layer - 1], r, case["aggregation_sigma"])
            bank = norm(_neighbours(known[layer - 1], r, case["aggregation_sigma"])[:, 1:]).flatten(0, 1)
            projected = model.embed(_adapt(x, adaptor, case["adapter_heads"]))
            out |= {f"layer{layer}.aggregated{r}": x, f"layer{layer}.projected{r}": projected}
            total = total + norm(projected) @ text.T / 0.07
            distances.append((1 - (norm(x[:, 1:]) @ bank.T).amax(-1)) / 2)
    score = total.softmax(-1)[..., 1]
    memory, alpha = grid(sum(distances) / len(distances)), case["alpha"]
    out |= {"score": score[:, 0], "map_grid": grid(score[:, 1:])[:, None]}
    out |= {"memory.map_grid": memory[:, None], "memory.score": memory.amax((1, 2))}
    out |= {name.replace("memory", "few"): out[name] + alpha * out[name.removeprefix("memory.")]
            for name in ("memory.score", "memory.map_grid")}  # fmt: skip
    out["map_upsampled"] = up(out["map_grid"][:, 0], case["image_size"])
    out["map_smoothed"] = smooth(out["map_upsampled"], case["smoothing_sigma"])
    out["few.map_smoothed"] = smooth(up(out["few.map_grid"][:, 0], case["image_size"]), case["smoothing_sigma"])
    return out


def _neighbours(x, r, sigma):
    if r == 1:
        return x
    side, half = round((x.shape[1] - 1) ** 0.5), r // 2
    offsets = [(i, j) for i in range(-half, half + 1) for j in range(-half, half + 1)]
    weights = [math.exp(-(i * i + j * j) / (2 * sigma**2)) for i, j in offsets]
    out = x.clone()
    for y in range(side):
        for left in range(side):
            value = 0
            for (i, j), w in zip(offsets, weights, strict=True):
                if 0 <= y + i < side and 0 <= left + j < side:
                    value = value + w / sum(weights) * x[:, 1 + (y + i) * side + left + j]
            out[:, 1 + y * side + left] = value
    return out


def _adapt(x, learned, heads):
    W = {k.removeprefix("attention."): v.double() for k, v in learned.items()}
    z = layer_norm(x, W, "norm")
    q, k, v = (z @ W[f"attn.to_{n}.weight"].T for n in "qkv")
    out, d = [], q.shape[-1] // heads
    for h in range(heads):
        own = slice(h * d, (h + 1) * d)
        out.append((q[..., own] @ k[..., own].transpose(-1, -2) / math.sqrt(d)).softmax(-1) @ v[..., own])
    return torch.cat(out, -1) @ W["attn.to_out.0.weight"].T + W["attn.to_out.0.bias"]


def faprompt(model, case, image, learned):
    deep = [learned[f"compound_prompts_text.{n}"] for n in range(case["deep_prompt_depth"] - 1)]
    normal = model.encode(*learned_prompts(model, learned["ctx_pos"][0], "object."), deep)
    kinds = learned["ctx_neg"][0].double()

    def abnormal(bias):
        shared = learned["ctx_pos"][0].double().expand(len(kinds), -1, -1)
        contexts = torch.cat((shared, kinds + bias), 1)
        return model.encode(*learned_prompts(model, contexts, "damaged object."), deep)

    def both(rows):
        return norm(torch.stack((normal[0], rows.mean(0))))

    paths, ordinary = dual(model, image, case["dual_blocks"])
    cls, patches = ordinary[:, 0] @ model.W["visual.proj"], model.embed(paths[-1])
    static_rows = abnormal(0)
    text, size, count = both(static_rows), case["image_size"], case["prior_tokens"]
    static = probability(patches[:, 1:], text)
    first = norm(patches[:, 1 : 1 + count])
    net = {k.removeprefix("patch_meta_net."): v.double() for k, v in learned.items() if "meta_net" in k}
    hidden = torch.relu(first.flatten(1) @ net["linear1.weight"].T + net["linear1.bias"])
    bias = hidden @ net["linear2.weight"].T + net["linear2.bias"]
    adapted_text = torch.stack([both(abnormal(b)) for b in bias])
    adapted = probability(patches[:, 1:], adapted_text)
    score_cls = probability(cls[:, None], adapted_text)[:, 0]
    out = {
        "image_embedding": cls, "patch_embeddings": patches, "text.normal": normal, "text.abnormal": static_rows,
        "text.features": text, "static.map": up(grid(static), size), "static.max": static.amax(1),
        "prior.tokens": first, "prior.bias": bias, "adapted.text.features": adapted_text, "score_cls": score_cls,
        "adapted.map": up(grid(adapted), size), "adapted.max": adapted.amax(1),
    }  # fmt: skip
    out["map"] = (out["static.map"] + out["adapted.map"]) / 2
    out["score"] = (score_cls + (2 * out["static.max"] + out["adapted.max"]) / 3) / 2
    out["map_smoothed"] = smooth(out["map"], case["smoothing_sigma"])
    return out
