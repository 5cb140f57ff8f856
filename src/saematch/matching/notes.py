# pyright: strict
"""Notes on a matching: guesses made, thresholds missing, initial weights shared."""

from __future__ import annotations

from saematch.matching.methods import Method
from saematch.matching.problem import Posed
from saematch.sae.sae import SAE

# i -> i is worth a note from so many times the share expected by chance, and so many pairs
FAR_ABOVE, AT_LEAST = 10, 10


def shared_seed(
    matched: int, identity_share: float, features_b: int, same_weights: bool = False
) -> str | None:
    """A warning where far more features go to their own index than expected by chance."""
    if same_weights:
        return "these are the same weights."
    chance = 1 / max(1, features_b)
    if identity_share * matched < AT_LEAST or identity_share < FAR_ABOVE * chance:
        return None
    return (
        f"{identity_share:.1%} of the matches are i -> i; {chance:.2%} are expected by chance. "
        "Both SAEs seem to have started from the same random weights (one seed), so much of their "
        "agreement may come from initialisation, not from the model."
    )


def notes_on(a: SAE, b: SAE, method: Method, posed: Posed) -> tuple[str, ...]:
    """What a reader should know of how two SAEs were compared."""
    notes: list[str] = []
    how = posed.fold
    if method.fold == "auto" and how == "decoder-norm":
        kinds = f"{a.name}: {a.threshold_kind}, {b.name}: {b.threshold_kind}"
        notes.append(f"folded by decoder norm: not both have a threshold per feature ({kinds})")
    if how == "threshold":
        scalar = [sae.name for sae in (a, b) if sae.threshold_kind == "scalar"]
        if len(scalar) == 2:
            notes.append(
                "both SAEs have one threshold for all features: folding by it cannot change a "
                "matching by a single term, only the balance between encoder and decoder terms"
            )
        elif scalar:
            notes.append(
                f"{scalar[0]} has one threshold for all features: folding only rescales it"
            )
    for sae in (a, b):
        if sae.conventions.normalisation != "none":
            notes.append(
                f"{sae.name} normalises each input ({sae.conventions.normalisation}): its weights "
                "are not in the scale of the raw activations"
            )
        if sae.conventions.site is None:
            notes.append(
                f"{sae.name} does not state its hook point: assumed to be of the same kind"
            )
    # folding may have found more of them
    for sae in (posed.a, posed.b):
        if sae.exclusions:
            reasons = ", ".join(f"{int(m.sum())} {r}" for r, m in sae.exclusions.items())
            notes.append(f"{sae.name}: excluded features: {reasons}")
    return tuple(notes)
