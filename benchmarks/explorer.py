"""A made-up run of many layers for the explorer, and what its tables cost.

    python -m benchmarks.explorer make FOLDER [--layers 26] [--features 16384] [--reach 2]
    python -m benchmarks.explorer tables FOLDER       seconds and sizes of the explorer's own tables

The pairs are drawn, as in `benchmarks.flow`, and the flow of the run is computed from them; no SAE
is needed. Some tokens are hostile: HTML, scripts, very long, from right to left.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from msgspec.structs import replace
from numpy import ndarray

from benchmarks.flow import graph
from saematch.explorer.tables import digest_of, make
from saematch.files.records import now, read_record
from saematch.layers import Pair
from saematch.layers.analysis import analyse
from saematch.numerics.ranked import Ranked
from saematch.runs.manifest import MANIFEST, new_record
from saematch.runs.records import PAIR_FOLDERS, PairRecord, SaeRecord, pair_place
from saematch.runs.run import Run

SHOWN = 10  # contexts of a feature
WORDS = 20_000
FDR = 0.01
HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "javascript:alert(1)",
    "</title></style></script><b>",
    "&lt;b&gt; &amp; &#x3c;",
    "long" * 3000,
    "\u202egnorts\u202c",
    "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd",
    "\u0627\u0644\u0633\u0644\u0627\u0645",
    "e\u0301" * 40 + "\u200b\u200d\ufeff",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467",
    "\x00\x1b[31m",
    "${7*7}{{7*7}}%2e%2e/",
    "line\nbreak\r\n\ttab",
    "'; DROP TABLE features; --",
)


def made(folder: Path, layers: int, features: int, reach: int, heard: bool, hostile: bool) -> Run:
    """A run of that many layers with the tables that `saematch flow` and `relate` make."""
    drawn = graph(layers, features, reach, relatives=0.3, miss=0.1)
    called = {name: name for name in drawn.names}
    if hostile:
        called[drawn.names[-1]] = "resid_post<img src=x onerror=alert(1)>"
    rng = np.random.default_rng(1)
    folder.mkdir(parents=True)
    run = Run(folder, new_record("flow", _options(), []))
    entries = [_sae(called[name], layer, features) for layer, name in enumerate(drawn.names)]
    run.record = replace(run.record, saes=[read_record(entry, SaeRecord) for entry in entries])
    words = _words(rng)
    topics = rng.integers(0, WORDS, (features, 3))
    for name in called.values():
        known = _features(features, rng)
        run.write(f"features/{name}.parquet", known)
        run.write(f"contexts/{name}.parquet", _contexts(words, topics, known, rng))
        topics = topics[rng.permutation(features)]
    for (a, b), pair in drawn.pairs.items():
        _add(run, called[a], called[b], pair, rng)
    if heard:
        run.add("relations", _relations(run, called, drawn.pairs, rng), {"tokens": 1_000_000})
    run._save()
    analyse(run)
    run.finish()
    return run


def _options() -> dict[str, Any]:
    return {
        "method": "cosine",
        "views": ["unit-decoder:1.0"],
        "fold": "none",
        "distance": False,
        "kind": "one-to-one",
        "top_k": 1,
        "confirm": [],
        "cutoff": None,
        "candidates": 5,
        "null": "covariance",
        "fdr": FDR,
        "partial": False,
        "seed": 0,
    }


def _sae(name: str, layer: int, features: int) -> dict[str, Any]:
    hook = f"blocks.{layer}.hook_resid_post"
    return {
        "name": name,
        "checksum": f"sha256:{layer:064x}",
        "d_in": 2304,
        "d_sae": features,
        "d_out": 2304,
        "threshold_kind": "per feature",
        "excluded": {},
        "conventions": {
            "activation": "jumprelu",
            "site": {"hook": hook, "kind": "resid_post", "layer": layer, "hook_out": None},
            "model": "made/up<b>",
            "source": f"made-up/layer_{layer}/<script>alert(1)</script>",
            "neuronpedia_id": f"gemma-2-2b/{layer}-gemmascope-res-16k",
            "notes": [],
        },
        "features": f"features/{name}.parquet",
        "contexts": f"contexts/{name}.parquet",
    }


def _words(rng: np.random.Generator) -> pl.Series:
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    lengths = rng.integers(2, 10, WORDS)
    words = ["".join(rng.choice(letters, n)) for n in lengths]
    words[: len(HOSTILE)] = HOSTILE
    return pl.Series(words)


def _features(features: int, rng: np.random.Generator) -> pl.DataFrame:
    numbers = {
        "threshold": rng.gamma(4, 0.3, features),
        "decoder_norm": np.ones(features),
        "encoder_norm": rng.gamma(9, 0.1, features),
        "b_enc": -rng.gamma(4, 0.2, features),
        "frequency": np.minimum(np.exp(rng.normal(-6, 1.5, features)), 1),
        "mean_activation": rng.gamma(4, 2, features),
    }
    numbers["max_activation"] = numbers["mean_activation"] * rng.uniform(1.5, 6, features)
    columns = [pl.Series(name, values, dtype=pl.Float32) for name, values in numbers.items()]
    none = pl.Series("excluded", [None] * features, dtype=pl.String)
    return pl.DataFrame([pl.Series("feature", np.arange(features)), *columns, none])


def _contexts(
    words: pl.Series, topics: ndarray, known: pl.DataFrame, rng: np.random.Generator
) -> pl.DataFrame:
    """What features fire on: three words of each, among others."""
    n = len(topics)
    token = np.take_along_axis(topics, rng.integers(0, 3, (n, SHOWN)), axis=1)
    token[np.arange(n) < len(HOSTILE), 0] = np.arange(len(HOSTILE))[: min(n, len(HOSTILE))]
    rows = pl.DataFrame(
        {
            "before": _phrases(words, n * SHOWN, rng),
            "token": (" " + words)[token.ravel()],
            "after": _phrases(words, n * SHOWN, rng),
            "activation": -np.sort(-rng.gamma(4, 2, (n, SHOWN)), axis=1).ravel().astype("f4"),
            "source": pl.Series(["prose", "code", "reference"])[rng.integers(0, 3, n * SHOWN)],
        }
    )
    lists = rows.to_struct("contexts").reshape((n, SHOWN)).arr.to_list()
    statistics = known.select("feature", "frequency", "mean_activation", "max_activation")
    return statistics.with_columns(lists)


def _phrases(words: pl.Series, n: int, rng: np.random.Generator) -> pl.Series:
    common = words[len(HOSTILE) :]
    drawn = [common[rng.integers(0, len(common), n)].alias(str(i)) for i in range(6)]
    return pl.DataFrame(drawn).select(pl.concat_str(pl.all(), separator=" ")).to_series()


def _add(run: Run, a: str, b: str, pair: Pair, rng: np.random.Generator) -> None:
    cosine = _cosine(pair.p_value)
    n = len(pair.target)
    first = pair.candidates.index[:, 0] == pair.target
    mutual = first & (pair.sources.index[pair.target, 0] == np.arange(n))
    noise = rng.normal(0, 0.02, n)
    table = pl.DataFrame(
        {
            "feature": np.arange(n),
            "target": pair.target,
            "matched": pair.matched,
            "score": cosine.astype("f8"),
            "p_value": pair.p_value,
            "rank_in_row": np.where(first, 1, rng.integers(2, 50, n)),
            "rank_in_column": np.where(mutual, 1, rng.integers(2, 50, n)),
            "mutual": mutual,
            "decoder_cosine": cosine,
            "decoder_mse": ((1 - cosine) / 1152).astype("f4"),
            "encoder_cosine": np.clip(cosine - 0.1 + noise, -1, 1).astype("f4"),
            "encoder_mse": ((1.1 - cosine) / 1152).astype("f4"),
            "encoder_bias_mse": rng.gamma(1, 0.1, n).astype("f4"),
            "decoder_mse_folded": ((1 - cosine) / 500).astype("f4"),
            "encoder_mse_folded": ((1.1 - cosine) / 500).astype("f4"),
            "encoder_bias_mse_folded": rng.gamma(1, 0.2, n).astype("f4"),
            "excluded": pl.Series([None] * n, dtype=pl.String),
        }
    )
    candidates = _long("target", pair.candidates)
    sources = _long("source", pair.sources)
    sources = sources.with_columns(pl.col("score").cast(pl.Float32).alias("decoder_cosine"))
    bins = np.linspace(-0.1, 1, 101)
    chance = np.clip(rng.normal(0.09, 0.01, n), -0.1, 1)
    nulls = pl.DataFrame(
        {
            "low": bins[:-1],
            "high": bins[1:],
            "observed": np.histogram(cosine, bins)[0],
            "null": np.histogram(chance, bins)[0].astype("f8"),
        }
    )
    frames = {"table": table, "candidates": candidates, "sources": sources, "nulls": nulls}
    for kind, frame in frames.items():
        run.write(pair_place(kind, a, b), frame)
    places = {kind: pair_place(kind, a, b) for kind in PAIR_FOLDERS}
    entry = {"a": a, "b": b, **places, "summary": _summary(table), "notes": []}
    run.record = replace(run.record, pairs=[*run.record.pairs, read_record(entry, PairRecord)])


def _cosine(p_value: ndarray) -> ndarray:
    """The more credible, the larger."""
    return np.clip(0.1 + 0.85 * (1 - np.exp(np.log(p_value) / 40)), 0, 1).astype("f4")


def _long(other: str, ranked: Ranked[ndarray]) -> pl.DataFrame:
    score = _cosine(ranked.p_value).astype("f8")
    return Ranked(ranked.index, score, {"p_value": ranked.p_value}).to_polars(other)


def _summary(table: pl.DataFrame) -> dict[str, Any]:
    matched, n = table.filter("matched"), len(table)
    measures = [name for name in table.columns if "_mse" in name or "_cosine" in name]
    cosine = matched["decoder_cosine"]
    return {
        "method": "cosine",
        "fold": "none",
        "measures_fold": "threshold",
        "features_a": n,
        "features_b": n,
        "excluded_a": 0,
        "excluded_b": 0,
        "null": "covariance",
        "fdr": FDR,
        "p_cut": FDR * len(matched) / n,
        "partial": False,
        "assigned": n,
        "matched": len(matched),
        "mutual_share": matched["mutual"].mean(),
        "identity_share": 1 / n,
        "gap": 0.0,
        "relative_gap": 0.0,
        "seconds": 36.0,
        "median_score": matched["score"].median(),
        "null_score": 0.09,
        **{f"cosine_ge_{cut}": float((cosine >= cut).sum()) / n for cut in (0.9, 0.7, 0.5, 0.3)},
        **{f"median_{name}": matched[name].median() for name in measures},
        **{f"identity_{name}": 0.0 if "cosine" in name else 0.002 for name in measures},
    }


def _relations(run: Run, called: dict[str, str], pairs, rng) -> dict[str, pl.DataFrame]:
    """Correlations and overlaps of the candidates of neighbours."""
    names = list(called)
    found: dict[str, list[pl.DataFrame]] = {"targets": [], "sources": []}
    for (a, b), pair in pairs.items():
        if names.index(b) != names.index(a) + 1:
            continue
        for statistic in ("pearson", "jaccard"):
            sides = (
                ("targets", "target", pair.candidates),
                ("sources", "source", pair.sources),
            )
            for table, other, ranked in sides:
                noise = rng.normal(0, 0.1, ranked.shape)
                value = np.clip(_cosine(ranked.p_value) + noise, -1, 1)
                rows = _long(other, ranked).select(
                    pl.lit(called[a]).alias("a"),
                    pl.lit(called[b]).alias("b"),
                    pl.lit(statistic).alias("statistic"),
                    "feature",
                    "rank",
                    other,
                    pl.Series("value", -np.sort(-value, axis=1).ravel(), dtype=pl.Float64),
                    pl.Series("together", rng.integers(1, 5000, ranked.index.size)),
                )
                found[table].append(rows)
    return {table: pl.concat(frames) for table, frames in found.items()}


def measure(folder: Path) -> None:
    """Print what the explorer's tables of a run take."""
    run = Run.open(folder)
    made_at = Path(tempfile.mkdtemp())
    try:
        start = time.perf_counter()
        make(run, made_at, digest_of(run))
        print(f"made in {time.perf_counter() - start:.1f} s")
        sizes: dict[str, int] = {}
        for root in (folder, made_at):
            for file in root.rglob("*.parquet"):
                place = file.relative_to(root)
                part = ("explorer/" if root == made_at else "") + str(place.parts[0])
                sizes[part] = sizes.get(part, 0) + file.stat().st_size
        for part, size in sorted(sizes.items()):
            print(f"{size / 1e6:10,.1f} MB  {part}")
        print(f"{(folder / MANIFEST).stat().st_size / 1e6:10,.1f} MB  {MANIFEST}")
    finally:
        shutil.rmtree(made_at)


def main() -> None:
    """Make a run, or measure one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make", help="make a run")
    making.add_argument("folder", type=Path)
    making.add_argument("--layers", type=int, default=26)
    making.add_argument("--features", type=int, default=16384)
    making.add_argument("--reach", type=int, default=2)
    making.add_argument("--no-relations", action="store_true")
    making.add_argument("--hostile", action="store_true", help="the name of an SAE too")
    measuring = commands.add_parser("tables", help="measure the explorer's tables")
    measuring.add_argument("folder", type=Path)
    asked = parser.parse_args()
    if asked.command == "tables":
        measure(asked.folder)
        return
    start = time.perf_counter()
    sizes = asked.layers, asked.features, asked.reach
    run = made(asked.folder, *sizes, not asked.no_relations, asked.hostile)
    print(f"{run} in {time.perf_counter() - start:.0f} s, at {now()}")


if __name__ == "__main__":
    main()
