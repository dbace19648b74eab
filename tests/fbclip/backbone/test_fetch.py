"""Weights over HTTP: in turn, resumed, checked, bounded, and never a file of unknown contents."""

import fcntl
import hashlib

import pytest

from fbclip.backbone.catalog import backbone_config
from fbclip.backbone.download import HttpLimits
from fbclip.backbone.fetch import fetch, weights_cache
from fbclip.backbone.sidecar import read_digest
from fbclip.backbone.sources import WeightsSource, weights_sources
from fbclip.errors import ConfigError, WeightsError
from tests.factories.weights_server import weights_server

DATA = bytes(range(256)) * 8000
SHA = hashlib.sha256(DATA).hexdigest()
HUB = "/org/clip/resolve/main/open_clip_model.safetensors"


@pytest.fixture
def server():
    with weights_server() as running:
        yield running


@pytest.fixture
def sources(server):
    return (
        WeightsSource(f"{server.url}/{SHA}/clip.pt", "clip.pt", SHA),
        WeightsSource(server.url + HUB, "clip.safetensors", None),
    )


def test_the_first_address_is_taken_and_checked(server, sources, tmp_path):
    server.files[f"/{SHA}/clip.pt"] = DATA
    seen = []
    path = fetch(sources, tmp_path / "w", progress=lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == DATA
    assert read_digest(path).sha256 == SHA
    assert seen[-1] == (len(DATA), len(DATA))
    assert sorted(file.name for file in path.parent.iterdir()) == ["clip.pt", "clip.pt.sha256"]
    # A second time nothing is asked for.
    before = len(server.asked)
    assert fetch(sources, tmp_path / "w") == path
    assert len(server.asked) == before


def test_the_cache_is_private(server, sources, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    server.files[f"/{SHA}/clip.pt"] = DATA
    path = fetch(sources, weights_cache())
    assert path == tmp_path / "cache" / "fbclip" / "weights" / "clip.pt"
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_the_hubs_copy_is_next_by_the_digest_that_it_states(server, sources, tmp_path):
    server.put_on_hub(HUB, DATA)
    tried = []
    path = fetch(sources, tmp_path, tried=tried.append)
    assert path.name == "clip.safetensors"
    assert tried == ["127.0.0.1: HTTP 404"]
    digest = read_digest(path)
    assert (digest.sha256, digest.trusted) == (SHA, False)


def test_what_was_cut_short_is_gone_on_with(server, sources, tmp_path):
    address = f"/{SHA}/clip.pt"
    server.files[address], server.cut[address] = DATA, 700_000
    with pytest.raises(WeightsError, match=r"cut short after 700000 of 2048000 bytes; the next try goes on"):
        fetch(sources[:1], tmp_path)
    assert not (tmp_path / "clip.pt").exists()
    assert fetch(sources[:1], tmp_path).read_bytes() == DATA
    assert [asked[2] for asked in server.asked] == [None, "bytes=700000-"]


def test_a_server_that_knows_no_ranges_sends_all_of_it(server, sources, tmp_path):
    address = f"/{SHA}/clip.pt"
    server.files[address], server.cut[address], server.deaf_to_range = DATA, 700_000, True
    with pytest.raises(WeightsError):
        fetch(sources[:1], tmp_path)
    assert fetch(sources[:1], tmp_path).read_bytes() == DATA


def test_a_rest_that_is_longer_than_the_file_is_dropped(server, sources, tmp_path):
    server.files[f"/{SHA}/clip.pt"] = DATA
    (tmp_path / f".clip.pt.{SHA[:12]}.part").write_bytes(DATA + b"more")
    with pytest.raises(WeightsError, match="damaged or foreign"):
        fetch(sources[:1], tmp_path)
    assert fetch(sources[:1], tmp_path).read_bytes() == DATA


def test_foreign_bytes_are_refused_in_every_format(server, sources, tmp_path):
    server.files[f"/{SHA}/clip.pt"] = b"x" + DATA[1:]
    server.put_on_hub(HUB, DATA)
    server.files[f"/cdn{HUB}"] = DATA[:-1] + b"x"
    with pytest.raises(WeightsError) as caught:
        fetch(sources, tmp_path)
    text = str(caught.value)
    assert text.count("damaged or foreign") == 2
    # What an offline box needs: the addresses, the names, the digest and the place.
    for part in (*(s.url for s in sources), "as clip.pt", "as clip.safetensors", SHA, str(tmp_path), "model.weights"):
        assert part in text
    assert "\n" not in text
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_nobody_vouches_for_takes_trust_and_says_so(server, sources, tmp_path):
    server.stated[HUB] = None
    server.files[f"/cdn{HUB}"] = DATA
    with pytest.raises(WeightsError, match=r"states no sha256 for the file; --trust"):
        fetch(sources[1:], tmp_path)
    path = fetch(sources[1:], tmp_path, trust=True)
    digest = read_digest(path)
    assert (digest.sha256, digest.trusted) == (SHA, True)


def test_a_random_file_under_the_right_name_is_replaced_not_believed(server, sources, tmp_path):
    (tmp_path / "clip.pt").write_bytes(b"random")
    server.files[f"/{SHA}/clip.pt"] = DATA
    assert fetch(sources, tmp_path).read_bytes() == DATA


def test_a_server_that_hangs_is_given_up_in_time(server, sources, tmp_path):
    server.silent.add(f"/{SHA}/clip.pt")
    server.silent.add(HUB)
    with pytest.raises(WeightsError) as caught:
        fetch(sources, tmp_path, limits=HttpLimits(silence_s=0.3))
    assert str(caught.value).count("no answer in time") == 2


def test_sizes_are_bounded(server, sources, tmp_path):
    server.files[f"/{SHA}/clip.pt"] = DATA
    with pytest.raises(WeightsError, match="larger than 1 MiB"):
        fetch(sources[:1], tmp_path, limits=HttpLimits(max_bytes=1 << 20))


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/x"])
def test_a_redirect_out_of_http_is_not_followed(server, sources, tmp_path, target):
    server.moved[f"/{SHA}/clip.pt"] = target
    with pytest.raises(WeightsError, match=r"not followed|HTTP 302"):
        fetch(sources[:1], tmp_path)


def test_the_addresses_are_open_clips_own(monkeypatch):
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    own, hub = weights_sources(backbone_config("ViT-L-14-336"))
    assert own.sha256 == "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02"
    assert own.sha256 in own.url
    assert (own.file_name, hub.file_name) == ("ViT-L-14-336.pt", "ViT-L-14-336.safetensors")
    assert hub.url.endswith("/timm/vit_large_patch14_clip_336.openai/resolve/main/open_clip_model.safetensors")
    # Weights that were trained with another activation are not offered, nor pickles.
    with pytest.raises(ConfigError, match=r"name one with --tag .*laion2b_s32b_b79k"):
        weights_sources(backbone_config("ViT-H-14"))
    with pytest.raises(ConfigError, match="is not one of its trainings"):
        weights_sources(backbone_config("ViT-H-14"), "dfn5b")
    (only,) = weights_sources(backbone_config("ViT-H-14"), "laion2b_s32b_b79k")
    assert only.url.endswith("CLIP-ViT-H-14-laion2B-s32B-b79K/resolve/main/open_clip_model.safetensors")
    # A mirror, as the hub's own client takes it.
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example")
    assert weights_sources(backbone_config("ViT-L-14-336"))[1].url.startswith("https://mirror.example/timm/")


def test_two_at_once_do_not_write_one_file(server, sources, tmp_path):
    server.files[f"/{SHA}/clip.pt"] = DATA
    with (tmp_path / f".clip.pt.{SHA[:12]}.part").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(WeightsError, match="being fetched by another process"):
            fetch(sources[:1], tmp_path)
    assert not (tmp_path / "clip.pt").exists()
