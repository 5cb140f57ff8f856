"""Hook names, module paths and folder names -> where an SAE is attached.

Three ways of naming one place are in use: TransformerLens hooks (`blocks.5.hook_resid_post`),
module paths of Hugging Face models (`layers.5`, `h.5.mlp`), and folder names that only hint
(`resid_post_layer_5`, `layer_5`, `L5R`).
"""

from __future__ import annotations

import re

from saematch.sae.sae import Site, SiteKind

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
    (r"mlp[_-]post[_-]act|mlp[._-]hook[_-]post", "other"),
    # OpenAI's words: the stream after attention, and what a branch adds to it
    (r"resid[_-]post[_-]attn|resid[_-]mid", "resid_mid"),
    (r"resid[_-]delta[_-]mlp|mlp[_-]delta", "mlp_out"),
    (r"resid[_-]delta[_-]attn|attn[_-]delta", "attn_out"),
    (r"resid[_-]post|(?<![a-z])res(?![a-z])", "resid_post"),
    (r"resid[_-]pre", "resid_pre"),
    (r"mlp[_-]in(?![a-z])", "mlp_in"),
    (r"mlp[_-]out|(?<![a-z])mlp(?![a-z])", "mlp_out"),
    (r"(?:attn|attention)[_-](?:out|layer)", "attn_out"),
    (r"hook_z|(?<![a-z])att(?![a-z])", "attn_z"),
]
_CODES: dict[str, SiteKind] = {"R": "resid_post", "M": "mlp_out", "A": "attn_out", "T": "mlp_in"}
_TO_HOOK: dict[SiteKind, str] = {
    "resid_pre": "hook_resid_pre",
    "resid_mid": "hook_resid_mid",
    "resid_post": "hook_resid_post",
    "mlp_in": "mlp.hook_in",
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


# what stands in a path before a number that is no layer: penalties, counts of active features
_COEFFICIENTS = re.compile(
    r"""
    (?:average|avg|mean|median|target)[._-]?[lL][012](?![0-9])
    | (?<![A-Za-z0-9])[lL][012][\s._=:-]*
      (?:coef\w*|alpha|lambda|penalty|reg\w*|weight|loss|norm|sparsity|warm\w*|small|medium|big)
    | (?<![A-Za-z0-9])[lL][012][\s_=:-]+[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![A-Za-z0-9])
    | (?<![A-Za-z0-9])[lL]\d+(?:\.\d+(?:[eE][+-]?\d+)?|[eE][+-]?\d+)(?![A-Za-z0-9])
    """,
    re.VERBOSE,
)
_HOOK = re.compile(
    r"blocks\.\d+\.(?:hook_(?:resid_(?:pre|mid|post)|mlp_(?:in|out)|attn_out)|(?:attn\.)?hook_z"
    r"|mlp\.hook_(?:in|out)|attn\.hook_out|ln2\.hook_normalized)(?![a-z])"
)
# OpenMOSS' codes; TC is a transcoder
_CODE = re.compile(r"(?:^|[-_])[lL](\d+)(?:([RMATrmat])|[tT][cC])(?![A-Za-z0-9])")
# how a name states a layer, the plainest way first
_LAYERS = (
    re.compile(r"(?<![A-Za-z])(?<!n_)(?<!num_)layers?[\s._=-]?(\d+)|(?<=[a-z])Layer(\d+)", re.I),
    re.compile(r"(?<![A-Za-z])(?:blocks?|h)[._](\d+)(?!\d)|^(\d+)-(?:res|att|mlp)(?![a-z])"),
    # l1 alone may be a penalty's name
    re.compile(r"(?<![A-Za-z0-9])(?!l[012](?!\d))[lL](\d+)(?!\d)(?![A-Za-z]*\d)"),
    re.compile(r"(?:resid_(?:pre|mid|post)|mlp_out|attn_out)[._-](\d{1,2})(?![A-Za-z0-9])"),
    re.compile(r"(?<![A-Za-z0-9])l([012])(?!\d)(?![A-Za-z]*\d)"),
    re.compile(r"^(\d+)$"),
)
_EMBEDDINGS = ("embed_tokens", "wte", "hook_embed", "embedding")


def hook_name(kind: SiteKind, layer: int) -> str:
    """The TransformerLens name of a site."""
    return f"blocks.{layer}.{_TO_HOOK[kind]}"


def guess_site(path: str) -> Site | None:
    """The site that the words of a path hint at; none without a layer.

    The innermost word that names a hook is believed, and else the innermost that states a layer in
    the plainest way: `layer_8` before `L8`, and either before a bare number. A word that states a
    coefficient (`l1_0.01`, `L0_50`) states no layer. Callers record the guess.
    """
    parts = _words(path)
    for part in reversed(parts):
        site = _named(part)
        if site is not None:
            return site
        if part in _EMBEDDINGS:
            return Site(part)
        if _LAYERS[0].search(part):
            break
    for part in reversed(parts):
        code = _CODE.search(part)
        if code:
            return _site(_CODES[(code[2] or "T").upper()], int(code[1]))
    layer = layer_in(path)
    if layer is None:
        return None
    for part in reversed(parts):
        for pattern, kind in _PATH_KINDS:
            if re.search(pattern, part):
                return _site(kind, layer)
    return Site(f"layer_{layer}", "other", layer)


def layer_in(path: str) -> int | None:
    """The layer that the words of a path state, if they state one."""
    parts = _words(path)
    for part in reversed(parts):
        site = parse_hook(part)
        if site.layer is not None:
            return site.layer
    plain = [_COEFFICIENTS.sub(" ", part) for part in reversed(parts)]
    for pattern in _LAYERS:
        for part in plain:
            found = pattern.search(part)
            if found:
                return int(next(group for group in found.groups() if group))
    return None


def _words(path: str) -> list[str]:
    parts = [part for part in path.split("/") if part]
    if parts:
        parts[-1] = re.sub(r"\.(?:safetensors|npz|pth|pt|bin)$", "", parts[-1])
    return parts


def _named(part: str) -> Site | None:
    """The site of a word that is, or holds, the name of a hook or module."""
    site = parse_hook(part)
    if site.layer is not None and site.kind != "other":
        return site
    found = _HOOK.search(part)
    if found:
        return parse_hook(found[0])
    return site if site.layer is not None else None


def _site(kind: SiteKind, layer: int) -> Site:
    if kind == "other":
        return Site(f"blocks.{layer}.mlp.hook_post", "other", layer)
    # what reads before the MLP imitates it
    hook_out = hook_name("mlp_out", layer) if kind == "mlp_in" else None
    return Site(hook_name(kind, layer), kind, layer, hook_out)


def natural_key(name: str) -> tuple:
    """Sorts names by layer where they state one, then numbers by value and words by letter."""
    layer = layer_in(name)
    layer = -1 if layer is None else layer
    words = re.split(r"(\d+)", name)
    return (layer, [(0, int(w), "") if w.isdigit() else (1, 0, w) for w in words])


def _kind(text: str, table: list[tuple[str, SiteKind]]) -> SiteKind | None:
    return next((kind for pattern, kind in table if re.fullmatch(pattern, text)), None)
