"""Every loader of SAELens against ours: one file, read by both, by registered name and by path.

Where a row says `theirs_is_wrong`, its `mend` undoes exactly that in what SAELens' loader returns:
with it all has to agree, and without it something must not.
"""

import warnings
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from saematch.checkpoints import saelens_registry
from saematch.checkpoints.sites import parse_hook
from saematch.errors import CheckpointError

from .made_up import Files
from .saelens_rows import ROOT, ROWS


def _place(name):
    """Repository, path, and the registry's norm factor of a row's name."""
    if ":" not in name:
        org, repo, path = name.split("/", 2)
        return f"{org}/{repo}", path, None
    entry = saelens_registry.lookup(name)
    return entry.hub.repo, entry.hub.inner, entry.facts.norm_factor


def _theirs(loaders, row, files, mended):
    """What `SAE.from_pretrained` gives, of tiny sizes; with its mistake undone if `mended`."""
    release, _, sae_id = row.name.partition(":")
    repo, path, factor = _place(row.name)
    overrides = {**loaders.get_config_overrides(release, sae_id), **row.sizes}
    config, tensors, _ = loaders.NAMED_PRETRAINED_SAE_LOADERS[row.loader](
        repo_id=repo,
        folder_name=path,
        device="cpu",
        force_download=False,
        cfg_overrides={**overrides, "device": "cpu", "dtype": "float32"},
    )
    if mended and row.mend:
        private = {"_norm": factor and ROOT / factor, "_file": files.place / "ae.pt"}
        config.update(private)
        row.mend(config, tensors)
        for name in private:
            del config[name]
    config = loaders.handle_config_defaulting(config)
    settings = loaders.SAE.get_sae_config_class_for_architecture(config["architecture"])
    theirs = loaders.SAE.get_sae_class_for_architecture(config["architecture"])(
        settings.from_dict(config)
    )
    theirs.process_state_dict_for_loading(tensors)
    theirs.load_state_dict(tensors, assign=True)
    if config.get("normalize_activations") == "expected_average_only_in" and factor:
        theirs.fold_activation_norm_scaling_factor(factor)
    return theirs


@torch.no_grad()
def _outcome(theirs, row, x):
    """Their codes and outputs, and what they say of place, centring, normalisation and k."""
    if row.takes_mean_out:
        x = x - x.mean(dim=-1, keepdim=True)
    heads = theirs.cfg.reshape_activations == "hook_z"
    x = x.unflatten(-1, (4, 3)) if heads else x
    codes, output = theirs.encode(x), theirs(x)
    site = parse_hook(theirs.cfg.metadata.hook_name)
    return SimpleNamespace(
        codes=codes,
        output=output.flatten(-2) if heads else output,
        place=(site.kind, site.layer, "hook_mlp_in" in site.hook),
        hook_out=theirs.cfg.metadata.hook_name_out,
        centred=theirs.cfg.apply_b_dec_to_input,
        normalised=theirs.cfg.normalize_activations in ("layer_norm", "constant_norm_rescale"),
        k=getattr(theirs.cfg, "k", None),
    )


def _agree(ours, theirs, x):
    conventions = ours.conventions
    site = conventions.site
    assert (site.kind, site.layer, "hook_mlp_in" in site.hook) == theirs.place
    assert (site.hook_out is None) == (theirs.hook_out is None)
    assert conventions.centred == theirs.centred
    assert (conventions.normalisation != "none") == theirs.normalised
    if theirs.k is not None:
        assert conventions.k == theirs.k
    torch.testing.assert_close(ours.encode(x), theirs.codes, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours.reconstruct(x), theirs.output, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_reads_as_saelens_does_or_says_why_not(cache, loaders, load, inputs, row):
    if row.refused:
        with pytest.raises(CheckpointError, match=row.refused):
            load(row.name)
        return
    repo, path, factor = _place(row.name)
    files = Files(cache.folder(repo), path, factor)
    row.write(files)
    ours = load(row.name)
    conventions = ours.conventions
    assert (conventions.site.hook, conventions.site.hook_out) == (row.hook, row.hook_out)
    assert row.family in ("", conventions.family)
    assert not row.note or any(row.note in note for note in conventions.notes)
    # the same file by its path, on the hub or in the cache, is the same SAE
    for place in [files.place, f"{repo}/{path}"]:
        by_path = load(place)
        found = by_path.conventions
        # several releases list one file, of which some know its pages
        same = {"neuronpedia_id": conventions.neuronpedia_id or found.neuronpedia_id}
        same |= {"source": found.source, "commit": found.commit}
        assert found == replace(conventions, **same)
        torch.testing.assert_close(by_path.encode(inputs), ours.encode(inputs))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = _outcome(_theirs(loaders, row, files, mended=True), row, inputs)
        _agree(ours, theirs, inputs)
        active = (theirs.codes != 0).float().mean()
        assert 0.005 < active < 0.95
        if row.theirs_is_wrong:
            with pytest.raises((AssertionError, RuntimeError, AttributeError)):
                _agree(ours, _outcome(_theirs(loaders, row, files, False), row, inputs), inputs)


def test_every_loader_has_a_row(loaders):
    assert {row.loader for row in ROWS} == set(loaders.NAMED_PRETRAINED_SAE_LOADERS)
