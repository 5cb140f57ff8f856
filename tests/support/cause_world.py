"""Made-up interventions on any run: tables as `saematch intervene` writes them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl

from saematch.causal.deactivation import CEILING
from saematch.causal.deactivation import FRAME as REMOVALS
from saematch.causal.deactivation import RANDOM as RANDOM_ACTIVE
from saematch.causal.joint import FRAME as WHOLE
from saematch.causal.substitution import AFFECTED, NEAREST, RANDOM
from saematch.causal.substitution import FRAME as REPLACEMENTS
from saematch.runs.run import Run

REMOVED = {**REMOVALS, "foretold": pl.Float64, "cosine": pl.Float64}
REPLACED = {**REPLACEMENTS, **dict.fromkeys(("p_value", "score", "correlation"), pl.Float64)}
SUCCESS = {CEILING: 0.8, "5 nearest by cosine": 0.6, "cosine": 0.5, RANDOM_ACTIVE: 0.1}
EQUIVALENCE = {AFFECTED: 0.5, "cosine": 0.3, "<b>fused</b>": 0.1, NEAREST: -0.1, RANDOM: -0.3}


def add_causes(run: Run, features: int = 30, tracks: int = 12) -> None:
    """Write the three tables that the page shows, of the run's neighbours."""
    rng = np.random.default_rng(0)
    steps = [*pairwise(run.names), ("+".join(run.names[:2]), run.names[2])]
    removed = [
        {
            "a": a,
            "b": b,
            "feature": feature,
            "method": method,
            "control": control,
            "sources": [feature],
            "active": 1,
            "size": 1.0,
            "before": 2.0,
            "after": float(rng.random() > (0.05 if control else chance)),
        }
        for a, b in steps
        for method, chance in SUCCESS.items()
        for control in (False, True)[: 1 + (method != RANDOM_ACTIVE)]
        for feature in range(features)
    ]
    replaced = [
        {
            "a": a,
            "b": b,
            "source": source,
            "method": method,
            "cosine": float(rng.random()),
            "removed": 1.0,
            "substituted": None if source % 7 == 0 else float(1 - value + 0.2 * rng.normal()),
            "trajectory": 0.5,
            "trajectory_other": 0.3,
            "trajectory_size": 0.4,
            "p_value": float(rng.random()),
            "score": 1.0,
        }
        for a, b in steps[:-1]
        for method, value in EQUIVALENCE.items()
        for source in range(features)
    ]
    whole = [
        {
            "track": track,
            "start": run.names[0],
            "feature": track,
            "length": 3,
            **{
                f"{word}{name}": float(size * rng.gamma(4))
                for word, less in (("", 1.0), ("control_", 0.4))
                for name, size in (("together", less), ("alone", 2 * less), ("largest", 0.8 * less))
            },
        }
        for track in range(tracks)
    ]
    tables = {
        "deactivation": pl.DataFrame(removed, REMOVED),
        "substitution": pl.DataFrame(replaced, REPLACED),
        "tracks": pl.DataFrame(whole, WHOLE),
    }
    run.add("causes", tables, {"model": "made-up", "notes": ["<img src=x onerror=alert(1)>"]})
