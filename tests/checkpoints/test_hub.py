"""Names on the hub, against a local cache made by hand, with the hub offline."""

import importlib.util
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError
from safetensors.torch import save_file

import saematch
from saematch.checkpoints import saelens_registry
from saematch.errors import CheckpointError

from .hub_cache import D_IN, D_SAE, GEMMA, MAIN, OLD, Cache, random_arrays

INNER = "layer_12/width_16k/average_l0_82"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    return Cache(tmp_path)


def test_a_path_in_a_repository(cache, load):
    arrays = cache.save(INNER)
    sae = load(f"{GEMMA}/{INNER}")
    assert torch.equal(sae.W_enc, torch.from_numpy(arrays["W_enc"]))
    conventions = sae.conventions
    assert conventions.source == f"{GEMMA}/{INNER}"
    assert conventions.commit == MAIN
    assert conventions.site is not None
    assert conventions.site.hook == "blocks.12.hook_resid_post"
    # by SAELens' registry, which leaves the organisation out, or guessed from the path
    assert conventions.model in ("gemma-2-2b", "google/gemma-2-2b")
    assert torch.equal(load(f"{GEMMA}/{INNER}/params.npz").W_enc, sae.W_enc)


def test_revisions(cache, load):
    new, old = cache.save(INNER, 1), cache.save(INNER, 2, commit=OLD, ref="v0")
    for name, revision, arrays, commit in (
        (f"{GEMMA}/{INNER}", None, new, MAIN),
        (f"{GEMMA}@v0/{INNER}", None, old, OLD),
        (f"{GEMMA}/{INNER}", "v0", old, OLD),
        (f"{GEMMA}@{OLD}/{INNER}", None, old, OLD),
    ):
        sae = load(name, revision=revision)
        assert torch.equal(sae.W_dec, torch.from_numpy(arrays["W_dec"]))
        assert sae.conventions.commit == commit
    assert load(f"{GEMMA}/{INNER}", revision="v0").conventions.source == f"{GEMMA}@v0/{INNER}"
    with pytest.raises(CheckpointError, match=r"main, v0.*HF_HUB_OFFLINE is set"):
        load(f"{GEMMA}@v1/{INNER}")
    with pytest.raises(CheckpointError, match="another"):
        load(f"{GEMMA}@v0/{INNER}", revision="main")


def test_patterns_over_layers(cache, load):
    for layer in range(3):
        cache.save(f"layer_{layer}/width_16k/average_l0_50", layer)
    names = saematch.expand(GEMMA + "/layer_{0-2}/width_16k/average_l0_50")
    assert [load(n).conventions.site.layer for n in names] == [0, 1, 2]  # pyright: ignore[reportOptionalMemberAccess]


def test_offline_and_not_in_the_cache(cache, load):
    with pytest.raises(CheckpointError, match=r"not in the local cache .*HF_HUB_OFFLINE is set"):
        load(f"{GEMMA}/{INNER}")


def test_no_such_path_lists_the_nearest(cache, load):
    for l0 in (22, 41, 82, 176):
        cache.save(f"layer_12/width_16k/average_l0_{l0}")
    with pytest.raises(CheckpointError) as caught:
        load(f"{GEMMA}/layer_12/width_16k/average_l0_83")
    message = str(caught.value)
    assert "has no average_l0_83" in message
    assert "average_l0_82" in message
    with pytest.raises(CheckpointError, match="layer_12 has no width_1k; nearest there: width_16k"):
        load(f"{GEMMA}/layer_12/width_1k/average_l0_82")
    with pytest.raises(CheckpointError, match="found 4 SAEs below it"):
        load(GEMMA)


def test_hooks_in_a_repository(cache, load, jumprelu_files):
    folder = cache.folder("me/saes") / "blocks.3.hook_resid_post"
    tensors = jumprelu_files(folder)
    for name in ("blocks.3.hook_resid_post", "layers.3", "h.3"):
        sae = load(f"me/saes/{name}")
        assert torch.equal(sae.W_dec, tensors["W_dec"])
        assert sae.conventions.source == "me/saes/blocks.3.hook_resid_post"
    with pytest.raises(CheckpointError, match=r"has no layers\.4"):
        load("me/saes/layers.4")


needs_registry = pytest.mark.skipif(
    importlib.util.find_spec("sae_lens") is None, reason="SAELens is not installed"
)


@needs_registry
def test_names_of_saelens_registry(cache, load):
    arrays = cache.save(INNER)
    for name in (
        "gemma-scope-2b-pt-res-canonical:layer_12/width_16k/canonical",
        f"gemma-scope-2b-pt-res:{INNER}",
        f"{GEMMA}/layer_12/width_16k/canonical",
    ):
        sae = load(name)
        assert torch.equal(sae.W_dec, torch.from_numpy(arrays["W_dec"]))
        assert sae.conventions.source == f"{GEMMA}/{INNER}"
        assert sae.conventions.model == "gemma-2-2b"
    sae = load("gemma-scope-2b-pt-res-canonical:layer_12/width_16k/canonical")
    assert sae.conventions.neuronpedia_id == "gemma-2-2b/12-gemmascope-res-16k"


@needs_registry
def test_patterns_over_the_registry(cache, load):
    pattern = "gemma-scope-2b-pt-res-canonical:layer_{0-25}/width_16k/canonical"
    entries = [saelens_registry.lookup(name) for name in saematch.expand(pattern)]
    assert [entry.hub.inner.split("/")[0] for entry in entries] == [f"layer_{n}" for n in range(26)]


@needs_registry
def test_the_registry_is_read_without_importing_saelens(tmp_path):
    code = (
        "import sys\n"
        "from saematch.checkpoints import saelens_registry\n"
        "saelens_registry.lookup('gpt2-small-res-jb:blocks.8.hook_resid_pre')\n"
        "assert 'sae_lens' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@needs_registry
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gemma-scope-2b-pt-rez:x", r"no release 'gemma-scope-2b-pt-rez'; nearest: .*pt-res"),
        (
            "gemma-scope-2b-pt-res-canonical:layer_26/width_16k/canonical",
            r"no SAE 'layer_26.*nearest: .*layer_25/",
        ),
        ("gemma-scope-2b-pt-res-canonical", "needs an id after a colon"),
        ("temporal-sae-gemma-2-2b:blocks.12.hook_resid_post", "a temporal SAE"),
        ("mntss-gemma-2-2b-2.5m-clt-as-per-layer:layer_0", "a cross-layer transcoder"),
    ],
)
def test_names_that_the_registry_has_not(cache, load, name, message):
    with pytest.raises(CheckpointError, match=message):
        load(name)


def test_without_saelens_the_error_names_the_extra(cache, load, monkeypatch):
    monkeypatch.setattr(saelens_registry.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(CheckpointError, match="pip install sae-lens"):
        load("gemma-scope-2b-pt-res:x")


def test_names_that_are_nothing(cache, load):
    for name in ("./nowhere", "/nowhere/at/all", "~/nowhere-at-all"):
        with pytest.raises(CheckpointError, match=r"no such file|has no"):
            load(name)


class Online:
    """A hub that can be reached: it lists files, and counts what is downloaded."""

    def __init__(self, cache, monkeypatch):
        self.fetched = []
        snapshot = cache.folder(GEMMA)

        class Api:
            def model_info(self, repo, revision=None):
                assert (repo, revision) == (GEMMA, None)
                names = [p.relative_to(snapshot).as_posix() for p in snapshot.rglob("*.npz")]
                siblings = [SimpleNamespace(rfilename=name) for name in names]
                return SimpleNamespace(siblings=siblings, sha=MAIN)

        def download(repo, name, revision=None):
            self.fetched.append((repo, name, revision))
            return str(snapshot / name)

        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub, "HfApi", Api)
        monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)


def test_online_only_the_files_of_one_sae_are_downloaded(cache, load, monkeypatch):
    for layer in range(4):
        cache.save(f"layer_{layer}/width_16k/average_l0_50", layer)
    online = Online(cache, monkeypatch)
    sae = load(f"{GEMMA}/layer_2/width_16k/average_l0_50")
    assert online.fetched == [(GEMMA, "layer_2/width_16k/average_l0_50/params.npz", MAIN)]
    assert sae.conventions.commit == MAIN


def test_out_of_reach_the_cache_answers(cache, load, monkeypatch):
    cache.save(INNER)

    class Api:
        def model_info(self, repo, revision=None):
            raise HfHubHTTPError.__bases__[0]("no route to host")

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert load(f"{GEMMA}/{INNER}").d_sae == D_SAE
    with pytest.raises(CheckpointError, match=r"hub cannot be reached.*no route to host"):
        load("google/other/x")


def test_a_local_folder_goes_before_a_repository_of_its_name(cache, load, tmp_path):
    remote = cache.save(INNER, 1)
    local = tmp_path / GEMMA / INNER
    local.mkdir(parents=True)
    arrays = random_arrays(D_IN, D_SAE, 2)
    np.savez(local / "params.npz", **arrays)
    sae = load(f"{GEMMA}/{INNER}")
    assert torch.equal(sae.W_dec, torch.from_numpy(arrays["W_dec"]))
    # what is not in the folder is looked for on the hub
    cache.save("layer_13/width_16k/average_l0_80", 1)
    sae = load(f"{GEMMA}/layer_13/width_16k/average_l0_80")
    assert torch.equal(sae.W_dec, torch.from_numpy(remote["W_dec"]))
    assert sae.conventions.commit == MAIN


@pytest.mark.parametrize(
    "address",
    [
        f"https://huggingface.co/{GEMMA}/tree/main/{INNER}",
        f"https://huggingface.co/{GEMMA}/blob/main/{INNER}/params.npz",
        f"hf://{GEMMA}/{INNER}",
    ],
)
def test_a_pasted_address_is_the_name_that_it_means(cache, load, address):
    arrays = cache.save(INNER, 3)
    sae = load(address)
    assert torch.equal(sae.W_dec, torch.from_numpy(arrays["W_dec"]))
    assert sae.conventions.source == f"{GEMMA}/{INNER}" + "/params.npz" * ("blob" in address)


def test_an_address_may_name_a_revision(cache, load):
    cache.save(INNER, 1)
    arrays = cache.save(INNER, 2, commit=OLD, ref="v1")
    sae = load(f"https://huggingface.co/{GEMMA}/tree/v1/{INNER}")
    assert torch.equal(sae.W_dec, torch.from_numpy(arrays["W_dec"]))
    assert sae.conventions.commit == OLD


def test_folders_of_a_repository_may_have_colons(cache, load):
    arrays = cache.save("blocks.0.hook_mlp_out_32:v1", 5, repo="someone/saes")
    sae = load("someone/saes/blocks.0.hook_mlp_out_32:v1")
    assert torch.equal(sae.W_dec, torch.from_numpy(arrays["W_dec"]))


@pytest.mark.parametrize(
    ("reference", "message"),
    [(b"\xff\xfe", "not text in UTF-8"), (b"a" * 5000, "not in the local cache"), (b"", "not in")],
)
def test_a_damaged_reference_in_the_cache(cache, load, reference, message):
    cache.save(INNER)
    (cache.hub / f"models--{GEMMA.replace('/', '--')}" / "refs" / "main").write_bytes(reference)
    with pytest.raises(CheckpointError, match=message):
        load(f"{GEMMA}/{INNER}")


def test_a_reference_does_not_lead_out_of_the_cache(cache, load, tmp_path):
    cache.save(INNER)
    arrays = random_arrays(D_IN, D_SAE, 4)
    (tmp_path / "out" / INNER).mkdir(parents=True)
    np.savez(tmp_path / "out" / INNER / "params.npz", **arrays)
    root = cache.hub / f"models--{GEMMA.replace('/', '--')}"
    for reference in (str(tmp_path / "out"), os.path.relpath(tmp_path / "out", root / "snapshots")):
        (root / "refs" / "main").write_text(reference)
        with pytest.raises(CheckpointError, match="not in the local cache"):
            load(f"{GEMMA}/{INNER}")


def test_shards_are_fetched_with_their_index(cache, load):
    arrays = {k: torch.from_numpy(v) for k, v in random_arrays(D_IN, D_SAE, 6).items()}
    folder = cache.folder("someone/saes") / "layer_3"
    folder.mkdir()
    names = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    placed = {name: names[name in ("W_dec", "b_dec")] for name in arrays}
    for name in names:
        save_file({k: v for k, v in arrays.items() if placed[k] == name}, folder / name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": placed}))
    sae = load("someone/saes/layer_3")
    assert torch.equal(sae.W_enc, arrays["W_enc"])
    assert torch.equal(sae.W_dec, arrays["W_dec"])
    assert sae.conventions.source == "someone/saes/layer_3"
