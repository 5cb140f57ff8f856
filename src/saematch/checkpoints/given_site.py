"""The site that a user gives an SAE whose file does not say where it reads."""

from __future__ import annotations

from saematch.checkpoints.sites import guess_site, parse_hook
from saematch.errors import CheckpointError, SaematchError
from saematch.sae.sae import Site

_LAYER = "{layer}"


def check_site(asked: object) -> None:
    """Refuse an invalid hook point.

    Raises:
        SaematchError: it is neither text nor a `Site`, is empty, or has braces but for `{layer}`.
    """
    hook = str(asked) if isinstance(asked, (str, Site)) else ""
    if not hook.strip() or set("{}") & set(hook.replace(_LAYER, "")):
        raise SaematchError(
            f"site is {asked!r}; expected a hook, such as 'blocks.{_LAYER}.hook_resid_post', in "
            f"which {_LAYER} alone is filled in, or a Site"
        )


def filled(asked: str | Site, own: Site | None, path: str, label: str) -> Site:
    """A given site, with the layer that an SAE states in the place of `{layer}`.

    Args:
        asked: the site; a hook in any library's words, such as `blocks.{layer}.hook_resid_post`.
        own: the site that the SAE names itself.
        path: where it lies; it may state the layer.
        label: how errors name the SAE.

    Raises:
        CheckpointError: neither states a layer.
    """
    hook = asked if isinstance(asked, str) else asked.hook
    if _LAYER not in hook:
        return parse_hook(hook) if isinstance(asked, str) else asked
    stated = [site.layer for site in (own, guess_site(path)) if site is not None]
    layer = next((n for n in stated if n is not None), None)
    if layer is None:
        raise CheckpointError(
            f"{label}: it states no layer for the site {hook!r}; give this SAE a site of its own, "
            f"such as {hook.replace(_LAYER, '0')}"
        )
    site = parse_hook(hook.replace(_LAYER, str(layer)))
    if isinstance(asked, str):
        return site
    hook_out = asked.hook_out and asked.hook_out.replace(_LAYER, str(layer))
    return Site(site.hook, asked.kind if asked.kind != "other" else site.kind, layer, hook_out)


def one_place(given: Site, own: Site) -> bool:
    """Whether a given site is the one that an SAE names itself, as far as it does."""
    if given.hook == own.hook:
        return True
    same_kind = given.kind == own.kind != "other"
    return given.layer == own.layer and (own.layer_alone or same_kind)
