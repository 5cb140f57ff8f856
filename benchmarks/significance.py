"""Are p-values and false discovery rates what they claim to be? Dictionaries of known truth.

    python -m benchmarks.significance calibration   # P(p <= q) / q where nothing is related
    python -m benchmarks.significance planted       # false discoveries and power, plain and partial
    python -m benchmarks.significance shipped       # the shipped SAEs, and rotated copies of them
    python -m benchmarks.significance carried       # with a linear map in between
    python -m benchmarks.significance time --features 16384 --width 2304

Planted dictionaries: decoder rows with an anisotropic covariance (a power law of variances in a
random basis), or an isotropic one; encoder columns near the decoder rows; log-normal thresholds.
A share of the features persists, with noise from none to as large as the feature itself; the
others of B are unrelated. With "clusters", features lie in anisotropic clusters that persist or
vanish as a whole; with "siblings", in clusters of which single features persist, so that a feature
that is gone leaves similar ones behind.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import time

import polars as pl
import torch
from torch import Tensor

import saematch
from saematch import SAE, Conventions, Site
from saematch.assignment import neighbours
from saematch.matching import match
from saematch.matching.methods import resolve
from saematch.matching.problem import pose
from saematch.matching.significance import Significance, Test
from saematch.models import Jacobian, mean_jacobians, open_model, random_tokens
from saematch.sae import shipped

# a method and what is tested of its pairs; the others score directions alone
METHODS: tuple[tuple[str, Test], ...] = (
    ("sae-match", "direction"),
    ("sae-match", "score"),
    ("cosine", "score"),
    ("feature-flow", "score"),
)
PLAIN = resolve("weighted", views="unit-decoder:0.5,unit-encoder:0.5")
KINDS = ("isotropic", "anisotropic", "clusters", "siblings")


def planted(kind: str, n: int, width: int, persists: float, seed: int) -> tuple[SAE, SAE, Tensor]:
    """Two SAEs and the truth: the place in B of each feature of A, -1 for those that are gone."""
    g = torch.Generator().manual_seed(seed)

    def gaussian(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g)

    def unit(v: Tensor) -> Tensor:
        return v / v.norm(dim=1, keepdim=True)

    basis = torch.linalg.qr(gaussian(width, width))[0]
    power = 0.0 if kind == "isotropic" else 0.5
    root = torch.arange(1, width + 1.0).pow(-power)[:, None] * basis

    def centres() -> Tensor:
        return unit(gaussian(max(1, n // 32), width) @ root)

    cluster = torch.randint(max(1, n // 32), (n,), generator=g)

    def directions() -> Tensor:
        rows = unit(gaussian(n, width) @ root)
        if kind in ("clusters", "siblings"):
            rows = unit(rows + torch.rand(n, 1, generator=g) * centres()[cluster])
        return rows

    def encoders(decoder: Tensor) -> Tensor:
        return unit(decoder + 0.7 * unit(gaussian(n, width) @ root))

    a = directions()
    a_encoder = encoders(a)
    stays = torch.rand(n, generator=g) < persists
    if kind == "clusters":
        stays = stays[cluster]
    noise = torch.rand(n, 1, generator=g)
    other = directions()
    other_encoder = encoders(other)
    b = torch.where(stays[:, None], unit(a + noise * unit(gaussian(n, width) @ root)), other)
    moved = unit(a_encoder + noise * unit(gaussian(n, width) @ root))
    b_encoder = torch.where(stays[:, None], moved, other_encoder)
    order = torch.randperm(n, generator=g)
    back = order.argsort()

    def sae(decoder: Tensor, encoder: Tensor) -> SAE:
        return SAE(
            W_enc=encoder.T.contiguous(),
            W_dec=decoder,
            b_enc=torch.zeros(n),
            b_dec=torch.zeros(width),
            threshold=torch.exp(0.5 * gaussian(n)),
            conventions=Conventions("jumprelu", source=f"planted/{kind}"),
        )

    truth = torch.where(stays, order, -1)
    return sae(a, a_encoder), sae(b[back], b_encoder[back]), truth


def calibration(n: int, width: int, repetitions: int) -> pl.DataFrame:
    """How often p-values of the best target fall to q or below, over q, where nothing is related.

    Many-to-one on the methods' views, for which p-values should be uniform, and by the quarter of
    the features with the least and the largest vectors.
    """
    rows = []
    for kind in KINDS[:3]:
        for name, test in METHODS[:3]:
            method = dataclasses.replace(resolve(name), kind="many-to-one")
            p, sizes = [], []
            for seed in range(repetitions):
                a, b, _ = planted(kind, n, width, 0.0, seed)
                p.append(match(a, b, method, test=test, candidates=1).p_value)
                sizes.append(pose(a, b, method).x.norm(dim=1))
            every, size = torch.cat(p), torch.cat(sizes)
            quarter = size.argsort().chunk(4)
            row: dict[str, object] = {"dictionaries": kind, "method": name, "test": test}
            row |= {"n": len(every)}
            row |= {f"q {q:g}": round(float((every <= q).double().mean()) / q, 2) for q in
                    (0.5, 0.1, 0.01, 0.001)}  # fmt: skip
            row |= {
                f"{which}, q 0.01": round(float((every[part] <= 0.01).double().mean()) / 0.01, 2)
                for which, part in (("small", quarter[0]), ("large", quarter[-1]))
            }
            rows.append(row)
    return pl.DataFrame(rows)


def discoveries(n: int, width: int, persists: float, repetitions: int) -> pl.DataFrame:
    """False discoveries: matches of features without a partner in B, and of a wrong one too."""
    rows = []
    for kind in KINDS:
        ways = *((*way, False) for way in METHODS), *((*way, True) for way in METHODS[:3])
        for method, test, partial in ways:
            found = []
            for seed in range(repetitions):
                a, b, truth = planted(kind, n, width, persists, 100 + seed)
                m = match(a, b, method, test=test, partial=partial, candidates=1)
                true = (m.target == truth) & (truth >= 0)
                number = max(1, m.n_matched)
                found.append(
                    {
                        "unrelated": int((m.matched & (truth < 0)).sum()) / number,
                        "wrong": int((m.matched & ~true).sum()) / number,
                        "power": int((m.matched & true).sum()) / max(1, int((truth >= 0).sum())),
                        "assigned": int((m.target >= 0).sum()) / n,
                        "precision": int(true.sum()) / max(1, int((m.target >= 0).sum())),
                        "recall": int(true.sum()) / max(1, int((truth >= 0).sum())),
                        "seconds": m.seconds,
                    }
                )
            mean = pl.DataFrame(found).mean().row(0, named=True)
            worst = max(f["unrelated"] for f in found)
            row: dict[str, object] = {"dictionaries": kind, "method": method, "test": test}
            row |= {"partial": partial}
            rows.append(
                row | {k: round(v, 4) for k, v in mean.items()} | {"worst": round(worst, 4)}
            )
    return pl.DataFrame(rows)


def shipped_shares() -> pl.DataFrame:
    """Share of features matched at 1 %, and with a randomly rotated copy of the same target."""
    path = shipped.residual_path()
    pairs = list(itertools.pairwise(path))
    pairs += [("resid_post_3", f"resid_post_3_{kind}") for kind in ("seed2", "wide", "topk")]
    saes = {name: saematch.load(f"saematch:{name}") for pair in pairs for name in pair}
    rows = []
    for a, b in pairs:
        row: dict[str, object] = {"pair": f"{a} -> {b}"}
        for method, test in METHODS:
            m = match(saes[a], saes[b], method, test=test)
            name = f"{method}, by score" if method == "sae-match" and test == "score" else method
            row[name] = round(m.n_matched / m.a.d_sae, 3)
            apart = [match(saes[a], rotated(saes[b], seed), method, test=test) for seed in range(3)]
            row[f"{name}, rotated"] = sum(m.n_matched for m in apart)
        rows.append(row)
    return pl.DataFrame(rows)


def carried(n: int, width: int, repetitions: int) -> pl.DataFrame:
    """False discoveries of `carried` where a linear map stands between planted dictionaries.

    B's vectors are A's behind a map whose singular values span a factor of ten, so that all that is
    carried leans the same way.
    """
    rows = []
    for kind in KINDS:
        for persists in (0.0, 0.6):
            found = []
            for seed in range(repetitions):
                a, b, truth = planted(kind, n, width, persists, 300 + seed)
                a, b, jacobian = _apart(a, b, seed)
                m = match(a, b, "carried", jacobian=jacobian)
                true = (m.target == truth) & (truth >= 0)
                number = max(1, m.n_matched)
                found.append(
                    {
                        "matched": m.n_matched,
                        "unrelated": int((m.matched & (truth < 0)).sum()) / number,
                        "power": int((m.matched & true).sum()) / max(1, int((truth >= 0).sum())),
                    }
                )
            frame = pl.DataFrame(found)
            row: dict[str, object] = {"dictionaries": kind, "persists": persists}
            row |= {k: round(v, 4) for k, v in frame.mean().row(0, named=True).items()}
            rows.append(row | {"worst": round(float(frame["unrelated"].max()), 4)})
    return pl.DataFrame(rows)


def _apart(a: SAE, b: SAE, seed: int) -> tuple[SAE, SAE, Jacobian]:
    """Two SAEs of one space with a random linear map put between them."""
    g = torch.Generator().manual_seed(seed)
    width = a.d_in
    left, right = (torch.linalg.qr(torch.randn(width, width, generator=g))[0] for _ in range(2))
    matrix = left * torch.logspace(-0.5, 0.5, width) @ right
    inverse = torch.linalg.inv(matrix)

    def at(sae: SAE, layer: int, **weights: Tensor) -> SAE:
        site = Site(f"blocks.{layer}.hook_resid_post", "resid_post", layer)
        conventions = dataclasses.replace(sae.conventions, site=site)
        return dataclasses.replace(sae, conventions=conventions, **weights)

    there = at(b, 1, W_dec=b.W_dec @ matrix.T, W_enc=inverse.T @ b.W_enc)
    ends = (f"blocks.{layer}.hook_resid_post" for layer in (0, 1))
    return at(a, 0), there, Jacobian(matrix, *ends, torch.zeros(width), torch.zeros(width))


def carried_shipped() -> pl.DataFrame:
    """Matches by `carried` between shipped SAEs, and with a randomly rotated copy of the target."""
    model = open_model("saematch:model")
    rows = []
    for a, b in (
        ("pre_0", "post_0"),
        ("pre_0", "post_4"),
        ("post_2", "post_3"),
        ("post_0", "post_5"),
    ):
        one, other = (saematch.load(f"saematch:resid_{name}") for name in (a, b))
        source, target = (str(sae.conventions.site) for sae in (one, other))
        jacobian = mean_jacobians(model, source, [target], random_tokens(model))[target]
        row: dict[str, object] = {"pair": f"{a} -> {b}"}
        row["plain"] = match(one, other, PLAIN).n_matched / one.d_sae
        row["carried"] = match(one, other, "carried", jacobian=jacobian).n_matched / one.d_sae
        turned = [match(one, rotated(other, k), "carried", jacobian=jacobian) for k in range(3)]
        row["carried, rotated"] = sum(m.n_matched for m in turned)
        rows.append(row)
    return pl.DataFrame(rows)


def rotated(sae: SAE, seed: int) -> SAE:
    """`sae` with everything it reads and writes under one random rotation."""
    g = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(sae.d_in, sae.d_in, generator=g))[0]
    return dataclasses.replace(sae, W_enc=turn.T @ sae.W_enc, W_dec=sae.W_dec @ turn)


def times(n: int, width: int) -> pl.DataFrame:
    """Processor seconds of the parts of a match but for the assignment, and of one product."""
    a, b, truth = planted("anisotropic", n, width, 0.6, 0)
    posed = pose(a, b, resolve("sae-match"))
    x, y, here, there = posed.x, posed.y, posed.row_offset, posed.column_offset
    taken: dict[str, float] = {}

    def timed(name: str, work) -> None:
        start = time.process_time()
        work()
        taken[name] = round(time.process_time() - start, 2)

    def product() -> None:
        for some in x.split(1024):
            torch.mm(some, y.T)

    significance = Significance()
    timed("one product", product)
    timed("null, A's side", lambda: significance.chance(x, y, here, there, posed.widths))
    timed("null, B's side", lambda: significance.chance(y, x, there, here, posed.widths))
    timed("neighbours", lambda: neighbours(x, y, here, there, truth, 5))
    timed("product again", product)
    return pl.DataFrame({"part": list(taken), "seconds": list(taken.values())})


def main() -> None:
    """Read the command line and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # pyright: ignore[reportOptionalMemberAccess]
    parser.add_argument("what", choices=("calibration", "planted", "shipped", "carried", "time"))
    parser.add_argument("--features", type=int, default=1024)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--persists", type=float, default=0.5)
    parser.add_argument("--repetitions", type=int, default=20)
    given = parser.parse_args()
    size = given.features, given.width
    pl.Config(
        fmt_str_lengths=60,
        tbl_cols=-1,
        tbl_formatting="ASCII_MARKDOWN",
        tbl_hide_column_data_types=True,
        tbl_hide_dataframe_shape=True,
        tbl_rows=-1,
        tbl_width_chars=200,
    )
    match given.what:
        case "calibration":
            print(calibration(*size, given.repetitions))
        case "planted":
            print(discoveries(*size, given.persists, given.repetitions))
        case "shipped":
            print(shipped_shares())
        case "carried":
            print(carried(*size, given.repetitions))
            print(carried_shipped())
        case "time":
            print(times(*size))


if __name__ == "__main__":
    main()
