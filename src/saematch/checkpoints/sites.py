"""Hook names, module paths and folder names -> where an SAE is attached.

Three ways of naming one place are in use: TransformerLens hooks (`blocks.5.hook_resid_post`),
module paths of Hugging Face models (`layers.5`, `h.5.mlp`), and folder names that only hint
(`resid_post_layer_5`, `layer_5`, `L5R`).
"""

from __future__ import annotations

import re

from saematch.sae import Site, SiteKind

_HOOK_SUFFIXES: list[tuple[str, SiteKind]] = [
    (r"hook_resid_pre", "resid_pre"),
    (r"hook_resid_mid", "resid_mid"),
    (r"hook_resid_post", "resid_post"),
    (r"hook_mlp_in|mlp\.hook_in|ln2\.hook_normalized", "mlp_in"),
    (r"hook_mlp_out|mlp\.hook_out", "mlp_out"),
    (r"hook_attn_out|attn\.hook_out", "attn_out"),
    (r"(?:attn\.)?hook_z", "attn_z"),
]
_MODULE_SUFFIXES: list[tuple[str, SiteKind]] = [
    (r"|output", "resid_post"),
    (r"input", "resid_pre"),
    (r"mlp|mlp\.output|post_feedforward_layernorm(?:\.output)?", "mlp_out"),
    (r"mlp\.input|(?:pre_feedforward|post_attention)_layernorm\.output", "mlp_in"),
    (r"(?:self_attn|attn|attention)(?:\.output)?", "attn_out"),
    (r"(?:self_attn|attn|attention)\.(?:o_proj|c_proj|dense)\.input", "attn_z"),
]
_PATH_KINDS: list[tuple[str, SiteKind]] = [
    (r"transcoder", "mlp_in"),
    (r"resid_post_mlp|resid[_-]post|(?<![a-z])res(?![a-z])|[-_]res[-_]", "resid_post"),
    (r"resid_post_attn|resid[_-]mid", "resid_mid"),
    (r"resid[_-]pre", "resid_pre"),
    (r"mlp_delta|mlp[_-]out|(?<![a-z])mlp(?![a-z])", "mlp_out"),
    (r"attn_delta|attn[_-]out", "attn_out"),
    (r"hook_z|(?<![a-z])att(?![a-z])", "attn_z"),
]
_CODES: dict[str, SiteKind] = {"R": "resid_post", "M": "mlp_out", "A": "attn_out", "T": "mlp_in"}
_TO_HOOK: dict[SiteKind, str] = {
    "resid_pre": "hook_resid_pre",
    "resid_mid": "hook_resid_mid",
    "resid_post": "hook_resid_post",
    "mlp_in": "hook_mlp_in",
    "mlp_out": "hook_mlp_out",
    "attn_out": "hook_attn_out",
    "attn_z": "attn.hook_z",
}


def parse_hook(hook: str, hook_out: str | None = None) -> Site:
    """The site that a TransformerLens hook or a module path names.

    A name in no known form becomes a site of kind "other" with the name kept as it is.
    """
    found = re.fullmatch(r"blocks\.(\d+)\.(.+)", hook)
    if found:
        kind = _kind(found[2], _HOOK_SUFFIXES)
        return Site(hook, kind or "other", int(found[1]), hook_out)
    found = re.fullmatch(r"(?:[a-z_]+\.)*?(?:layers|h|blocks|layer)\.(\d+)\.?(.*)", hook)
    if found:
        kind = _kind(found[2], _MODULE_SUFFIXES)
        return Site(hook, kind or "other", int(found[1]), hook_out)
    return Site(hook, "other", None, hook_out)


def hook_name(kind: SiteKind, layer: int) -> str:
    """The TransformerLens name of a site."""
    return f"blocks.{layer}.{_TO_HOOK[kind]}"


def guess_site(path: str) -> Site | None:
    """The site that the words of a path hint at, the innermost word first; none without a layer.

    Callers record the guess.
    """
    parts = [part for part in path.split("/") if part]
    for part in reversed(parts):
        site = parse_hook(part)
        if site.layer is not None:
            return site
        if part in ("embed_tokens", "wte", "hook_embed", "embedding"):
            return Site(part)
    for part in reversed(parts):
        code = re.search(r"(?:^|-)L(\d+)([RMAT])(?:-|$)", part)
        if code:
            kind = _CODES[code[2]]
            return Site(hook_name(kind, int(code[1])), kind, int(code[1]))
    layer = next((n for n in map(layer_of, reversed(parts)) if n is not None), None)
    if layer is None:
        return None
    for part in reversed(parts):
        for pattern, kind in _PATH_KINDS:
            if re.search(pattern, part):
                return Site(hook_name(kind, layer), kind, layer)
    return Site(f"layer_{layer}", "other", layer)


def layer_of(part: str) -> int | None:
    """The layer that one folder or file name states, if it states one."""
    site = parse_hook(part)
    if site.layer is not None:
        return site.layer
    patterns = (
        r"layers?[._-]?(\d+)",
        # average_l0_82 and L0_50 are numbers of active features
        r"(?<![A-Za-z])[lL](\d+)(?![\d]|_\d|_(?:small|medium|big))",
        r"^(\d+)\.(?:pt|pth|safetensors|npz)$",
    )
    found = next((f for pattern in patterns if (f := re.search(pattern, part))), None)
    return int(found[1]) if found else None


def natural_key(name: str) -> tuple:
    """Sorts names by layer where they state one, then numbers by value and words by letter."""
    parts = name.strip("/").split("/")
    layer = next((n for n in map(layer_of, reversed(parts)) if n is not None), -1)
    words = re.split(r"(\d+)", name)
    return (layer, [(0, int(w), "") if w.isdigit() else (1, 0, w) for w in words])


def _kind(text: str, table: list[tuple[str, SiteKind]]) -> SiteKind | None:
    return next((kind for pattern, kind in table if re.fullmatch(pattern, text)), None)
