"""From a name to the files of one SAE: which source, which weights file, which configs."""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import yaml

from saematch.checkpoints import saelens_registry
from saematch.checkpoints.checkpoint import Facts
from saematch.checkpoints.names import FORMS, HubName, parse_address, parse_hub
from saematch.checkpoints.shards import INDEX, index_of, joined, parts_of
from saematch.checkpoints.sites import natural_key, parse_hook
from saematch.checkpoints.sources import HubSource, LocalSource, ShippedSource, Source
from saematch.checkpoints.tensors import SUFFIXES, Tensors
from saematch.errors import CheckpointError
from saematch.files.foreign import one_line, parsing, read_json, read_text, regular
from saematch.sae import shipped

PREFERRED = (
    "sae_weights.safetensors",
    "sae.safetensors",
    "params.npz",
    "params.safetensors",
    "ae.pt",
    "checkpoints/final.safetensors",
    "checkpoints/pruned.safetensors",
)
CONFIGS = (
    "cfg.json",
    "config.json",
    "config.yaml",
    "hyperparams.json",
    "activation_scaler.json",
)
# how huggingface_hub lays out its cache
_CACHED = re.compile(r"models--([^/]+?)--([^/]+)/snapshots/[^/]+/(.+)")
_YAML_BYTES = 1 << 20
BESIDE = ("sparsity.safetensors", "activation_whitening.safetensors")
_LONGEST = 4096  # letters of a path
_BESIDE = tuple(Path(name).stem for name in BESIDE)
# of training runs: never an SAE's own weights, though its state dict may be called that
_OTHER = re.compile("|".join((r"state(?!_?dict)", "optimizer", "scheduler", *_BESIDE)))


@dataclass(frozen=True)
class Location:
    """One SAE's weights file in its source."""

    source: Source
    weights: str
    inner: str  # what names the SAE in its source: the folder, or the file itself
    facts: Facts = field(default_factory=Facts)

    @property
    def name(self) -> str:
        return self.source.name(self.inner)

    def tensors(self) -> Tensors:
        """The tensors of the weights file, or of the shards that its index joins.

        Raises:
            CheckpointError: as `Tensors`; or an index that lists what is not there.
        """
        path, label = self.source.fetch(self.weights), self.source.name(self.weights)
        if not self.weights.endswith(INDEX):
            return Tensors(path, label)
        folder, parts = _parent(self.weights), parts_of(path, label)
        there = set(self.source.listdir(folder)[1])
        if missing := sorted({*parts.values()} - there):
            raise CheckpointError(
                f"{label}: {missing[0]}, one of its {len({*parts.values()})} shards, is not there"
            )
        files = {part: self.source.fetch(_join(folder, part)) for part in {*parts.values()}}
        whole = path.with_name(path.name.removesuffix(INDEX))
        return Tensors(whole, label, {name: files[part] for name, part in parts.items()})

    def configs(self) -> dict[str, dict]:
        """The JSON files beside the weights, by name; a run's own as `../config.json`.

        Raises:
            CheckpointError: one of them is not a JSON object.
        """
        folder = _parent(self.weights)
        places = {name: _join(folder, name) for name in CONFIGS}
        if PurePosixPath(folder).name == "checkpoints":
            places["hyperparams.json"] = _join(_parent(folder), "hyperparams.json")
        stem = PurePosixPath(self.weights).stem
        places["cfg of file"] = _join(folder, f"{stem}_cfg.json")
        if folder:
            places["../config.json"] = _join(_parent(folder), "config.json")
        found = {k: p for k, p in places.items() if _is_file(self.source, p)}
        if "cfg.json" not in found:
            found.pop("../config.json", None)
        return {key: self._json(path) for key, path in found.items()}

    def beside(self) -> dict[str, Path]:
        folder = _parent(self.weights)
        places = {name: _join(folder, name) for name in BESIDE}
        return {n: self.source.fetch(p) for n, p in places.items() if _is_file(self.source, p)}

    def _json(self, inner: str) -> dict:
        if inner.endswith(".yaml"):
            return self._yaml(inner)
        label = self.source.name(inner)
        content = read_json(self.source.fetch(inner), label, CheckpointError)
        if not isinstance(content, dict):
            raise CheckpointError(
                f"{label}: found a JSON {type(content).__name__}, expected an object"
            )
        return content

    def _yaml(self, inner: str) -> dict:
        """A YAML file's content; of one that cannot be read, nothing: it may be of anything."""
        path, name = self.source.fetch(inner), self.source.name(inner)
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        try:
            if regular(path, name, CheckpointError).st_size > _YAML_BYTES:
                return {}
            with parsing(name, error=CheckpointError, say="not valid YAML"):
                content = yaml.load(read_text(path, name, CheckpointError), Loader=loader)
        except CheckpointError:
            return {}
        return content if isinstance(content, dict) else {}


def locate(name: str, revision: str | None = None) -> Location:
    """Where the SAE called `name` lies.

    Raises:
        CheckpointError: nothing is there, or more than one SAE; what there is, is listed.
    """
    if (shown := one_line(name)) != name:
        raise CheckpointError(
            f"{shown[:200]}: a name with control characters, or not in UTF-8; rename it"
        )
    if len(name) > _LONGEST:
        raise CheckpointError(f"{name[:60]}...: a name of {len(name):,} letters; it is {FORMS}")
    local = _local(name)
    if local is not None:
        source, inner = local
        if inner == "" or find(source, inner) is not None or parse_hub(name) is None:
            return _registered(resolve(source, inner))
    if _is_path(name):
        if local is not None:
            raise _missing(*local)
        raise CheckpointError(f"{name}: no such file or folder")
    if name.startswith(shipped.PREFIX):
        ships = name.removeprefix(shipped.PREFIX)
        return resolve(ShippedSource(ships), ships.rpartition("/")[2])
    if name in shipped.names():
        raise _no_name(name)
    # folders in a repository may have colons in their names, releases have no slashes
    if "/" not in name.partition(":")[0] and ":" in name and parse_address(name) is None:
        entry = saelens_registry.lookup(name)
        hub = HubName(entry.hub.repo, revision, entry.hub.inner)
        return resolve(HubSource(hub), hub.inner, entry.facts)
    hub = parse_address(name) or parse_hub(name)
    if hub is None:
        if saelens_registry.is_release(name):
            saelens_registry.lookup(name)
        raise _no_name(name)
    if revision and hub.revision and revision != hub.revision:
        raise CheckpointError(f"{name}: it names a revision, and revision={revision!r} another")
    hub = HubName(hub.repo, hub.revision or revision, hub.inner)
    source = HubSource(hub)
    if find(source, hub.inner) is None and (entry := saelens_registry.alias(hub)):
        return resolve(source, entry.hub.inner, entry.facts)
    return _registered(resolve(source, hub.inner), hub.repo)


def _registered(location: Location, repo: str | None = None) -> Location:
    """The same with what SAELens' registry knows of a file of `repo`, or of a hub cache."""
    weights = location.weights
    if repo is None:
        found = _CACHED.search(location.source.name(weights))
        if found is None:
            return location
        repo, weights = f"{found[1]}/{found[2]}", found[3]
    entry = saelens_registry.known(repo, weights)
    return replace(location, facts=entry.facts) if entry else location


def resolve(source: Source, inner: str, facts: Facts | None = None) -> Location:
    """The weights file that `inner` stands for: a file, a folder, or a hook's other name.

    Raises:
        CheckpointError: as `locate`.
    """
    place = find(source, inner)
    if place is None:
        raise _missing(source, inner)
    facts = facts or Facts()
    if _is_file(source, place):
        return Location(source, index_of(place, _files_beside(source, place)), place, facts)
    weights = weights_in(source, place) or _odd_one(source, place)
    if weights is None:
        raise _no_weights(source, place)
    return Location(source, weights, place, facts)


def find(source: Source, inner: str) -> str | None:
    """The file or folder that `inner` names, also by hook (`blocks.5.hook_resid_post`)."""
    if inner == "" or _is_file(source, inner) or _is_folder(source, inner):
        return inner
    for suffix in SUFFIXES:
        if _is_file(source, inner + suffix):
            return inner + suffix
    # one place has several names: layers.5, h.5, blocks.5.hook_resid_post
    parent, wanted = _parent(inner), parse_hook(PurePosixPath(inner).name)
    if wanted.layer is None or wanted.kind == "other":
        return None
    same = [
        folder
        for folder in source.listdir(parent)[0]
        if (site := parse_hook(folder)).layer == wanted.layer and site.kind == wanted.kind
    ]
    return _join(parent, same[0]) if len(same) == 1 else None


def weights_in(source: Source, folder: str) -> str | None:
    """The weights file of the SAE that lies right in `folder`; none if it holds no SAE.

    Raises:
        CheckpointError: several files could be it.
    """
    folders, files = source.listdir(folder)
    inside = [f"checkpoints/{f}" for f in source.listdir(_join(folder, "checkpoints"))[1]]
    for name in PREFERRED:
        if name in files or ("checkpoints" in folders and name in inside):
            return _join(folder, name)
    found = _weights(files)
    if len(found) > 1:
        shown = ", ".join(sorted(found, key=natural_key)[:6])
        raise CheckpointError(
            f"{source.name(folder)}: found {len(found)} weights files ({shown}); name one of them"
        )
    return _join(folder, found[0]) if found else None


def folders_of(source: Source, folder: str = "", depth: int = 4) -> list[str]:
    """Every SAE below `folder`, which holds none itself, in natural order: folders, or files."""
    found: list[str] = []
    folders, files = source.listdir(folder)
    weights = _weights(files)
    if len(weights) > 1:
        found += [_join(folder, name) for name in weights]
    for name in folders:
        inner = _join(folder, name)
        try:
            holds = weights_in(source, inner) is not None
        except CheckpointError:
            holds = False
        if holds:
            found.append(inner)
        elif depth > 1 and not name.startswith("."):
            found += folders_of(source, inner, depth - 1)
    return sorted(found, key=natural_key)


def _weights(files: list[str]) -> list[str]:
    """The files that may be an SAE each; shards stand behind the index that joins them."""
    found = [f for f in files if _is_weights(f) and not _OTHER.search(PurePosixPath(f).stem)]
    return joined(found, files)


def _odd_one(source: Source, folder: str) -> str | None:
    """The one weights file of a folder without any other, whatever its name makes of it."""
    folders, files = source.listdir(folder)
    found = [f for f in files if _is_weights(f) and PurePosixPath(f).stem not in _BESIDE]
    return _join(folder, found[0]) if len(found) == 1 and not folders else None


def _local(name: str) -> tuple[LocalSource, str] | None:
    """The longest part of `name` that exists on disk, and the rest."""
    # of a name that no file can have, os.path says that it does not exist; pathlib raises
    path = Path(os.path.expanduser(name))
    if path.name in ("", ".."):
        path = Path(os.path.realpath(path))
    # a folder above the SAE's own, where a run keeps its config
    if os.path.lexists(path) and not os.path.isdir(path):
        above = path.parent.parent
        return LocalSource(above), path.relative_to(above).as_posix()
    if os.path.isdir(path):
        return LocalSource(path.parent), path.name
    for parent in path.parents:
        if os.path.isdir(parent) and parent != Path() and parent != Path(parent.anchor):
            return LocalSource(parent), path.relative_to(parent).as_posix()
    return None


def is_local(name: str) -> bool:
    """Whether `name` is of a file or folder on this machine, the shipped ones among them."""
    if name.startswith(shipped.PREFIX):
        return True
    local = _local(name)
    return local is not None and find(*local) is not None


def _is_path(name: str) -> bool:
    windows = re.match(r"[A-Za-z]:[\\/]", name) is not None
    return windows or name.startswith(("/", "./", "../", "~")) or name in (".", "..", "")


def _no_name(name: str) -> CheckpointError:
    """What to type instead of a name of no known form."""
    ships = shipped.names()
    if name in ships:
        return CheckpointError(f"{name}: no such file; did you mean {shipped.PREFIX}{name}?")
    close = difflib.get_close_matches(name, ships, n=3, cutoff=0.5)
    meant = ", ".join(shipped.PREFIX + one for one in close)
    nearest = f"; nearest of those that ship: {meant}" if meant else ""
    return CheckpointError(f"{name}: no such file or folder; a name is {FORMS}{nearest}")


def _missing(source: Source, inner: str) -> CheckpointError:
    """What there is instead: the deepest folder of the path that exists, and names like it."""
    parts = PurePosixPath(inner).parts
    known = 0
    while known < len(parts) and _is_folder(source, "/".join(parts[: known + 1])):
        known += 1
    folder = "/".join(parts[:known])
    names = sorted((n for kind in source.listdir(folder) for n in kind), key=natural_key)
    missing = parts[known] if known < len(parts) else inner
    close = difflib.get_close_matches(missing, names, n=5, cutoff=0.4) or names[:5]
    more = f" (of {len(names)})" if len(names) > len(close) else ""
    there = f"nearest there: {', '.join(close)}{more}" if close else "nothing is there"
    return CheckpointError(f"{source.name(inner)}: {source.name(folder)} has no {missing}; {there}")


def _no_weights(source: Source, folder: str) -> CheckpointError:
    below = folders_of(source, folder)
    if below:
        shown = ", ".join(below[:5]) + (", ..." if len(below) > 5 else "")
        return CheckpointError(
            f"{source.name(folder)}: found {len(below)} SAEs below it ({shown}), expected one; "
            "name one of them, or all by a pattern"
        )
    folders, files = source.listdir(folder)
    shown = ", ".join(sorted([*folders, *files])[:6]) or "an empty folder"
    return CheckpointError(
        f"{source.name(folder)}: found {shown}; expected an SAE's weights ({', '.join(PREFERRED)} "
        "or another file in one of these formats)"
    )


def _is_file(source: Source, inner: str) -> bool:
    return PurePosixPath(inner).name in source.listdir(_parent(inner))[1]


def _is_folder(source: Source, inner: str) -> bool:
    return PurePosixPath(inner).name in source.listdir(_parent(inner))[0]


def _is_weights(file: str) -> bool:
    return PurePosixPath(file).suffix in SUFFIXES


def _files_beside(source: Source, inner: str) -> list[str]:
    return source.listdir(_parent(inner))[1]


def _parent(inner: str) -> str:
    parent = PurePosixPath(inner).parent.as_posix()
    return "" if parent == "." else parent


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
