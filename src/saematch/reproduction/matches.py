"""What a reproduction says of matches: errors, correlations, L0, distance, lifespans."""

from __future__ import annotations

import polars as pl

from saematch.plots import FIGURES, Missing
from saematch.reproduction import figures as draw
from saematch.reproduction.measures import LEAST
from saematch.reproduction.numbers import costs, evaluated_run, median_of, one, ratio, won
from saematch.reproduction.page import Section
from saematch.reproduction.reproduction import Reproduction

WITHIN = "same layer"
Found = tuple[Section, list[str]]  # a section, and what of it stands at the top
# the ways of matching beside SAE Match's own, as sentences call them
OTHERS = {
    "unfolded": "without folding",
    "cosine": "by cosine, one to one",
    "many-to-one": "many to one, by decoder cosine (Feature Flow)",
    "fused": "with activations on given text (fused)",
    "fused-generated": "with activations on text that the model generated (fused)",
}


def errors(made: Reproduction) -> Found:
    table = made.table("folded_errors")
    against = {
        term: {
            way: ratio(table.filter(term=term), way, "identity")
            for way in ("folded", "unfolded", "cosine", "many-to-one")
        }
        for term in draw.TERMS
    }
    decoder, encoder = against["decoder"]["folded"], against["encoder"]["folded"]
    if decoder is None or encoder is None:
        raise Missing("errors beside those of i to i need SAEs of one width")
    first = (
        f"Matched features are closer than feature i is to feature i: their folded decoder MSE is "
        f"{decoder:.2f} of it, their encoder MSE {encoder:.2f} (medians over layers)."
    )
    if min(decoder, encoder) >= 1 or max(decoder, encoder) >= 1:
        first = (
            f"Matched features are not closer than feature i to feature i in both terms: their "
            f"folded decoder MSE is {decoder:.2f} of it, their encoder MSE {encoder:.2f} (medians "
            "over layers)."
        )
    others = [
        f"{OTHERS[way]} {against['decoder'][way]:.2f} and {against['encoder'][way]:.2f}"
        for way in ("unfolded", "cosine", "many-to-one")
        if against["decoder"][way] is not None and against["encoder"][way] is not None
    ]
    says = [
        first,
        f"The same shares of the error of i to i: {'; '.join(others)}. All errors are measured in "
        "the same folded coordinates, in which SAE Match minimises their sum; a lower error there "
        "is what it is made for, and no evidence by itself that its matches are better.",
    ]
    tables = [("mean folded MSE by pair, way of matching and term", _wide_errors(table))]
    if "controls_errors" in made.tables:
        control = made.table("controls_errors").filter(term="decoder")
        says += _within(made, control, table.filter(term="decoder", method="folded"))
        tables.append(("the same for the controls", control.drop("term")))
    figure = draw.folded_errors(table, f"Matched: {decoder:.0%} of the decoder error of i → i")
    return Section("Folded errors", says, [figure], tables), [first]


def _within(made: Reproduction, control: pl.DataFrame, steps: pl.DataFrame) -> list[str]:
    """What two SAEs of one layer come to, as the scale for what two layers come to."""
    run = made.runs["controls"]
    same = [pair for pair in run.pairs if run.sae(pair[0]).site == run.sae(pair[1]).site]
    rows = control.filter(method="folded").filter(
        pl.struct("a", "b").is_in([{"a": a, "b": b} for a, b in same])
    )
    if not len(rows):
        return []
    return [
        f"Between an SAE and others of its layer (controls) the folded decoder MSE of matched "
        f"features is {_range(rows['mean'], '.3g')}; between neighbouring layers its median is "
        f"{steps['mean'].median():.3g}."
    ]


def _range(values: pl.Series, form: str) -> str:
    """The least and the largest value, or the only one."""
    ends = dict.fromkeys(format(value, form) for value in (values.min(), values.max()))
    return " to ".join(ends)


def together(made: Reproduction) -> Found:
    table = made.table("correlations")
    median = {way: median_of(table, way) for way in dict.fromkeys(table["method"])}
    folded, counted = median["folded"], table["features"]
    first = (
        f"A feature and its match by SAE Match correlate at {folded:.2f} between neighbouring "
        f"layers (median over layers, text that no method saw, the {_range(counted, ',')} features "
        f"that fire there on {LEAST} tokens or more); the best possible is "
        f"{median['best possible']:.2f}, a random permutation gives {median['random']:.2f}."
    )
    more = [
        f"{OTHERS[way]} {median[way]:.3f} ({won(table, way)})" for way in OTHERS if way in median
    ]
    folding = won(table, "unfolded")
    second = (
        f"Folding: with it {folded:.3f}, without {median['unfolded']:.3f}; without it {folding}."
    )
    says = [first, f"Others, beside {folded:.3f} of SAE Match: {'; '.join(more)}.", second]
    pairs = draw.steps_of(table)
    wide = table.with_columns(
        pair=pl.Series([pairs[a, b] for a, b in table.select("a", "b").iter_rows()])
    ).pivot("pair", index="method", values="mean")
    scores = table.select("a", "b", "method", "together").drop_nulls()
    best = max((way for way in OTHERS if way in median), key=lambda way: median[way])
    label = draw.WAYS[best][0]
    title = f"Matches by SAE Match correlate at {folded:.2f}, {label} at {median[best]:.2f}"
    figure = draw.correlations(table, title)
    section = Section(
        "Do matched features fire together?",
        says,
        [figure],
        [
            ("mean correlation by way of matching and pair", wide),
            ("the same with intervals, and the difference from SAE Match", table),
            ("matching score P(target active | feature active)", scores),
        ],
    )
    return section, [first, second]


def sparsity(made: Reproduction) -> Found:
    if "controls" not in made.runs:
        raise Missing("dependence on L0: it takes other SAEs of the same sites (--controls)")
    run = made.runs["controls"]
    about = {row["name"]: row for row in made.table("controls_saes").iter_rows(named=True)}
    near = made.table("controls_correlations").filter(method="folded")
    errors = made.table("controls_errors").filter(method="folded", term="decoder")
    rows = []
    for a, b in run.pairs:
        within = run.sae(a).site == run.sae(b).site
        kind = WITHIN if within else "one layer on"
        cosine = run.summaries[a, b].more.get("median_decoder_cosine")
        row = {"a": a, "b": b, "part": f"{a}, {kind}", "l0_a": about[a]["l0"], "l0": about[b]["l0"]}
        row |= {"matched": run.summaries[a, b]["matched"], "decoder_cosine": cosine}
        row["correlation"] = one(near, a, b, "mean")
        row["folded_mse"] = one(errors, a, b, "mean")
        row |= costs(run, a, b)
        rows.append(row)
    table = pl.DataFrame(rows, infer_schema_length=None)
    panels = {}
    for name, column in (
        ("correlation of matches", "correlation"),
        ("explained variance of the estimate", "explained_variance"),
        ("delta-loss of the estimate", "delta_loss"),
    ):
        if column in table.columns and table[column].count():
            some = table.filter(pl.col(column).is_not_null())
            panels[name] = some.select("l0", "part", value=column, name="b")
    inside = table.filter(pl.col("part").str.ends_with(WITHIN))
    across = median_of(made.table("correlations"), "folded")
    says = [
        f"A feature and its match in another SAE of its own layer correlate at "
        f"{_range(inside['correlation'], '.2f')}, in an SAE of the next layer at {across:.2f} "
        "(median over layers): so much two SAEs agree at all."
    ]
    by_part = table.group_by("part", maintain_order=True)
    by_l0 = [said for (part,), group in by_part if (said := _by_l0(str(part), group))]
    says, drawn = says + by_l0, []
    if by_l0:
        reference = float(table["l0_a"].median())  # pyright: ignore[reportArgumentType]
        drawn.append(draw.by_l0(panels, reference, "Matches by the L0 of the target SAE"))
    section = Section("Other SAEs of the same layers", says, drawn, [("every control", table)])
    return section, says[:1]


def _by_l0(part: str, group: pl.DataFrame) -> str | None:
    """Which L0 does best; nothing where L0s are all about the same."""
    low, high = group["l0"].min(), group["l0"].max()
    if group.height < 2 or high < 1.5 * low:  # pyright: ignore[reportOperatorIssue, reportOptionalOperand]
        return None
    best = group.sort("correlation").row(-1, named=True)
    said = (
        f"{part}: of {group.height} SAEs with an L0 of {low:.0f} to {high:.0f}, that with "
        f"{best['l0']:.0f} has the matches that correlate best ({best['correlation']:.2f}); the "
        f"SAE that is matched has {best['l0_a']:.0f}."
    )
    if "explained_variance" in group.columns and group["explained_variance"].count():
        known = group.drop_nulls("explained_variance").sort("explained_variance")
        top = known.row(-1, named=True)
        said += (
            f" The estimate explains most variance ({top['explained_variance']:.2f}) for the one "
            f"with {top['l0']:.0f}."
        )
    return said


def distance(made: Reproduction) -> Found:
    near, far = made.table("correlations"), made.table("correlations_far")
    run = evaluated_run(made, "folded")
    if not len(far):
        raise Missing("two layers further apart than neighbours")
    ends = []
    for way in ("folded", "chained", "fused", "fused-generated", "best possible"):
        rows = far.filter(method=way)
        by_step = rows.group_by("skipped").agg(pl.col("mean").mean()).sort("skipped")
        steps = dict(by_step.iter_rows())
        values = {k: steps[k] for k in dict.fromkeys((2, 5, max(steps, default=0))) if k in steps}
        ends.append((way, values))
    name = {"folded": "direct", "chained": "chained", "best possible": "best possible"} | OTHERS
    told = "; ".join(
        f"{name[way]} {', '.join(f'{v:.2f} over {k}' for k, v in values.items())}"
        for way, values in ends
        if values
    )
    direct, chained = dict(ends)["folded"], dict(ends)["chained"]
    last = max(direct)
    lead = (
        "Direct matches keep more than chained ones"
        if direct[last] > chained[last]
        else "Chained matches keep as much as direct ones"
    )
    first = (
        f"{lead}: over {last} layers direct SAE Match correlates at {direct[last]:.2f}, the chain "
        f"of neighbours at {chained[last]:.2f}, the best possible at "
        f"{dict(ends)['best possible'][last]:.2f}."
    )
    says = [first, f"Correlation by distance in layers, mean over starting layers: {told}."]
    drawn = [draw.by_distance(near, far, first.split(":", maxsplit=1)[0])]
    for figure in ("composition", "distance"):
        drawn += FIGURES[figure](run).values()
    return (
        Section(
            "Over many layers", says, drawn, [("correlation by pair and way of matching", far)]
        ),
        [first],
    )


def lives(made: Reproduction) -> Found:
    run = made.runs["folded"]
    turnover = run.table("flow", "turnover").filter(mode="chained")
    born, dead = turnover["birth_share"][1:], turnover["death_share"][:-1]
    cuts = [run.summaries[pair]["p_cut"] or 0.0 for pair in run.pairs]
    spans = run.table("flow", "spans").filter(mode="chained")
    layers = turnover.height
    whole_path = spans.filter(pl.col("length") == layers).height
    first = (
        f"{whole_path:,} features are followed by significant matches through all {layers} layers; "
        f"between neighbours {born.min():.0%} to {born.max():.0%} of a layer's features have no "
        f"match before, {dead.min():.0%} to {dead.max():.0%} none after."
    )
    says = [
        first,
        "A match is significant at a false discovery rate of "
        f"{run.record.options.get('fdr', 0.01):.0%}; of features without any partner, "
        f"{min(cuts):.2%} to {max(cuts):.2%} would be matched by chance.",
        f"The median track passes through {_layers(spans['length'].median())}.",  # pyright: ignore[reportArgumentType]
    ]
    drawn = [
        figure
        for name in ("survivors", "lifespans")
        for mode, figure in FIGURES[name](run).items()
        if mode.endswith(("_chained", name))
    ]
    return (
        Section("Lifespans, births and deaths", says, drawn, [("by layer", turnover)]),
        [first],
    )


def _layers(count: float) -> str:
    return "one layer" if count == 1 else f"{count:g} layers"


def _wide_errors(table: pl.DataFrame) -> pl.DataFrame:
    return table.pivot("term", index=["a", "b", "method"], values="mean")
