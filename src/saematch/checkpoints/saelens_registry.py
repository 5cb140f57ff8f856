"""SAELens' registry of published SAEs: from `release:sae_id` to a repository and a path in it.

The YAML file is read from the installed package without importing it, which would take seconds.
"""

from __future__ import annotations

import difflib
import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from saematch.checkpoints.checkpoint import Facts
from saematch.checkpoints.names import HubName
from saematch.checkpoints.sites import layer_in
from saematch.errors import CheckpointError, install

_CROSS_LAYER = "mntss_clt_layer_transcoder"
_TEMPORAL = "temporal"
_RESIDUAL = ("blocks.{layer}.hook_resid_post", None)
# where SAEs read and write whose files do not say it, by the loader that SAELens has for them
_HOOKS: dict[str, tuple[str, str | None]] = {
    "deepseek_r1": _RESIDUAL,
    "goodfire": _RESIDUAL,
    "qwen_scope": _RESIDUAL,
    "mwhanna_transcoder": ("blocks.{layer}.mlp.hook_in", "blocks.{layer}.hook_mlp_out"),
}


@dataclass(frozen=True)
class Entry:
    """One SAE of the registry."""

    hub: HubName
    facts: Facts


@dataclass(frozen=True)
class Listed:
    """What the registry says of an SAE besides where its files are."""

    name: str
    path: str
    model: str | None
    neuronpedia: str | None


def release(name: str) -> list[Listed]:
    """The SAEs of a release, in the registry's order.

    Raises:
        CheckpointError: SAELens is not installed, or has no such release; the nearest are given.
    """
    releases = _releases(name)
    if name not in releases:
        raise CheckpointError(
            f"{name}: SAELens has no release of this name" + _nearest(name, releases)
        )
    return [_listed(name, releases[name], entry) for entry in releases[name]["saes"]]


def listed(name: str) -> Listed | None:
    """What the registry says of `release:sae_id` or `org/repo/path`; None where it has neither."""
    if not available():
        return None
    of, _, sae_id = name.partition(":")
    for release, found in _releases(name).items():
        inner = name.removeprefix(f"{found['repo_id']}/")
        if release != of and inner == name:
            continue
        for entry in found["saes"]:
            if sae_id == str(entry["id"]) or inner in (str(entry["id"]), str(entry["path"])):
                return _listed(release, found, entry)
    return None


def _listed(name: str, found: dict[str, Any], entry: dict[str, Any]) -> Listed:
    path = f"{found['repo_id']}/{entry['path']}"
    return Listed(f"{name}:{entry['id']}", path, _model(found), entry.get("neuronpedia"))


def lookup(name: str) -> Entry:
    """The entry that `release:sae_id` names.

    Raises:
        CheckpointError: SAELens is not installed, or has no such release or id; the nearest names
            are given.
    """
    release, _, sae_id = name.partition(":")
    releases = _releases(name)
    if release not in releases:
        raise CheckpointError(
            f"{name}: SAELens has no release {release!r}" + _nearest(release, releases)
        )
    found = releases[release]
    ids = {str(entry["id"]): entry for entry in found["saes"]}
    if sae_id not in ids:
        what = f"has no SAE {sae_id!r}" if sae_id else "needs an id after a colon"
        raise CheckpointError(f"{name}: release {release!r} {what}" + _nearest(sae_id, ids))
    return _entry(name, found, ids[sae_id])


def alias(hub: HubName) -> Entry | None:
    """The entry of the release of `hub.repo` whose id is `hub.inner`: `.../canonical` is one."""
    if not available():
        return None
    for found in _releases(str(hub)).values():
        if found["repo_id"] != hub.repo:
            continue
        for entry in found["saes"]:
            if str(entry["id"]) == hub.inner:
                return _entry(str(hub), found, entry)
    return None


def known(repo: str, weights: str) -> Entry | None:
    """The entry of the SAE whose weights are the file `weights` of `repo`, if there is one.

    Raises:
        CheckpointError: it is an SAE that is refused.
    """
    if not available() or repo not in _text(_path(repo)):
        return None
    places = {weights, *map(str, PurePosixPath(weights).parents)} - {"."}
    found = [
        (len(str(entry["path"])), bool(entry.get("neuronpedia")), release, entry)
        for release in _releases(repo).values()
        if release["repo_id"] == repo
        for entry in release["saes"]
        if str(entry["path"]) in places
    ]
    if not found:
        return None
    # several releases list one file; the one with pages for its features knows most
    _, _, release, entry = max(found, key=lambda row: row[:2])
    return _entry(f"{repo}/{weights}", release, entry)


def available() -> bool:
    """Whether SAELens is installed."""
    return importlib.util.find_spec("sae_lens") is not None


def is_release(name: str) -> bool:
    """Whether SAELens is installed and has a release of this name."""
    return available() and name in _releases(name)


def _entry(name: str, release: dict[str, Any], entry: dict[str, Any]) -> Entry:
    conversion = release.get("conversion_func")
    if conversion == _CROSS_LAYER:
        raise CheckpointError(
            f"{name}: a cross-layer transcoder, which writes to many layers; expected an SAE or a "
            "transcoder that writes to one place"
        )
    if conversion == _TEMPORAL:
        raise CheckpointError(
            f"{name}: a temporal SAE, whose codes depend on other tokens; expected an SAE with an "
            "encoder and a decoder matrix"
        )
    overrides = dict(release.get("config_overrides") or {})
    if conversion == "connor_rob_hook_z":
        overrides["apply_b_dec_to_input"] = True
    if conversion in _HOOKS:
        layer = layer_in(str(entry["path"]))
        hooks = [hook and hook.format(layer=layer) for hook in _HOOKS[conversion]]
        overrides["hook_name"], overrides["hook_name_out"] = hooks
    facts = Facts(
        model=_model(release),
        neuronpedia_id=entry.get("neuronpedia"),
        norm_factor=entry.get("norm_scaling_factor"),
        overrides=overrides,
    )
    return Entry(HubName(release["repo_id"], None, str(entry["path"])), facts)


def _releases(name: str) -> dict[str, Any]:
    return _read(_path(name))


def _path(name: str) -> Path:
    spec = importlib.util.find_spec("sae_lens")
    if spec is None or not spec.submodule_search_locations:
        raise CheckpointError(
            f"{name}: names of the form release:sae_id need SAELens' registry; install it with "
            + install("sae-lens")
        )
    path = Path(spec.submodule_search_locations[0]) / "pretrained_saes.yaml"
    if not path.is_file():
        raise CheckpointError(f"{name}: the installed SAELens has no {path.name}")
    return path


def _model(release: dict[str, Any]) -> str | None:
    model, conversion = release.get("model"), release.get("conversion_func")
    if model and conversion == "gemma_2" and "-it-" in release["repo_id"]:
        # one release names the base model; SAELens' loader goes by the repository
        return model.removesuffix("-it") + "-it"
    return model


@lru_cache(maxsize=1)
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _read(path: Path) -> dict[str, Any]:
    # the C loader takes 0.6 s for 13,857 SAEs, the other one ten times that
    return yaml.load(_text(path), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _nearest(name: str, names: Any, limit: int = 5) -> str:
    close = difflib.get_close_matches(name, names, n=limit, cutoff=0.5) or list(names)[:limit]
    return "; nearest: " + ", ".join(close)
