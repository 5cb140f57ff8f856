"""Every release of SAELens' registry: it is read by a family at the place that SAELens says."""

import re
import warnings
from functools import partial

import pytest

from saematch.checkpoints import saelens_registry
from saematch.checkpoints.families import FAMILIES
from saematch.checkpoints.sites import layer_in, parse_hook
from saematch.errors import CheckpointError

from . import made_up
from .made_up import Files

REFUSED = ("mntss_clt_layer_transcoder", "temporal")
FAMILY = {
    "sae_lens": "saelens",
    "connor_rob_hook_z": "nanda",
    "gemma_2": "gemma_scope",
    "gemma_2_transcoder": "gemma_scope",
    "gemma_3": "gemma_scope_2",
    "llama_scope": "llama_scope",
    "llama_scope_r1_distill": "llamascopium",
    "dictionary_learning_1": "dictionary_learning",
    "deepseek_r1": "dictionary_learning",
    "mwhanna_transcoder": "circuit_tracer",
}


def _writer(loader, release, sae_id, path):
    """What writes a file as this release has them."""
    layer = _layer(sae_id, path)
    match loader:
        case "sae_lens":
            hook = re.match(r"blocks\.\d+\.hook_[a-z]+_[a-z]+", sae_id)
            return partial(made_up.sae_lens, hook_name=hook[0])  # pyright: ignore[reportOptionalSubscript]
        case "connor_rob_hook_z":
            return partial(made_up.nanda, hook=f"blocks.{layer}.attn.hook_z")
        case "gemma_2" | "gemma_2_transcoder":
            return made_up.gemma_2
        case "llama_scope" | "llama_scope_r1_distill":
            write = made_up.llama_scope if loader == "llama_scope" else made_up.llama_scope_r1
            kind = {"r": "resid_post", "a": "attn_out", "m": "mlp_out"}[sae_id.split("_")[0][-1]]
            return partial(write, hook=f"blocks.{layer}.hook_{kind}")
        case "dictionary_learning_1":
            word, bias = "BatchTopKSAE", "b_dec"
            if "matryoshka" in path.lower():
                word = "MatryoshkaBatchTopKSAE"
            elif "topk" in release:
                word = "AutoEncoderTopK"
            elif "gated" in release:
                word, bias = "GatedAutoEncoder", "decoder_bias"
            elif "andyrdt" not in release:
                word, bias = "AutoEncoder", "bias"
            threshold = 0.4 if "Batch" in word else None
            return partial(
                made_up.dictionary_learning, word=word, bias=bias, layer=layer, threshold=threshold
            )
        case "mwhanna_transcoder":
            return made_up.mwhanna
        case _:
            return getattr(made_up, loader)


def _layer(sae_id, path):
    """The layer that an id states, as the registry's authors write ids."""
    found = re.search(r"blocks\.(\d+)\.|layer_?(\d+)|^l(\d+)[rma]_", sae_id)
    if found is None:
        assert sae_id.startswith("embedding"), sae_id
        return None
    return int(next(group for group in found.groups() if group))


def _representatives(directory):
    """One id of each release, and one of each way in which a release names its files."""
    for release, entry in directory.items():
        ways = {}
        for sae_id, path in entry.saes_map.items():
            ways.setdefault(re.sub(r"\d+", "#", path), (sae_id, path))
        for sae_id, path in ways.values():
            yield release, entry, sae_id, path


def test_paths_state_the_layers_that_ids_state(loaders):
    """Of all that the registry lists: no width, L0, penalty or version is taken for a layer."""
    wrong = [
        (release, sae_id, path)
        for release, entry in loaders.get_pretrained_saes_directory().items()
        for sae_id, path in entry.saes_map.items()
        if layer_in(path) != _layer(sae_id, path)
    ]
    # the one path that states its place by a letter
    assert {row[2] for row in wrong} == {"e-res-sm"}


def test_every_release_is_read_where_saelens_says(cache, loaders, load):
    releases, families = set(), set()
    for release, entry, sae_id, path in _representatives(loaders.get_pretrained_saes_directory()):
        loader = entry.conversion_func or "sae_lens"
        name = f"{release}:{sae_id}"
        releases.add(release)
        if loader in REFUSED:
            with pytest.raises(CheckpointError, match=r"cross-layer transcoder|temporal SAE"):
                load(name)
            continue
        factor = entry.norm_scaling_factor.get(sae_id)
        files = Files(cache.folder(entry.repo_id), path, factor)
        _writer(loader, release, sae_id, path)(files)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = loaders.load_sae_config_from_huggingface(release, sae_id)["metadata"]
        conventions = load(name).conventions
        wanted, site = parse_hook(theirs["hook_name"]), conventions.site
        assert site is not None, name
        assert (site.kind, site.layer) == (wanted.kind, wanted.layer), name
        assert site.layer == _layer(sae_id, path), name
        assert (site.hook_out is None) == (theirs.get("hook_name_out") is None), name
        assert conventions.family == FAMILY.get(loader, loader), name
        families.add(conventions.family)
    assert releases == set(loaders.get_pretrained_saes_directory())
    assert families <= set(FAMILIES)


def test_what_the_registry_knows_holds_for_paths(loaders):
    for release, entry, sae_id, path in _representatives(loaders.get_pretrained_saes_directory()):
        if entry.conversion_func in REFUSED:
            continue
        named = saelens_registry.lookup(f"{release}:{sae_id}").facts
        found = saelens_registry.known(entry.repo_id, f"{path}/weights.safetensors")
        assert found is not None
        assert found.facts.model == named.model
        assert found.facts.norm_factor == named.norm_factor
        assert found.facts.overrides == named.overrides
