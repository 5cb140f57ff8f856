"""The head of an exported page: what a link to it says where it is shared."""

from __future__ import annotations

import html
import re
from itertools import pairwise
from statistics import median

from saematch.errors import SaematchError
from saematch.runs.records import PairRecord
from saematch.runs.run import Run

LONGEST = 80  # characters of a name: those of models come from elsewhere
_TITLE = re.compile(r"[ \t]*<title>.*?</title>", re.DOTALL)


def titled(page: str, run: Run) -> str:
    """The page with a title and a description of a run, for people and for other sites.

    Sites that show a link as a card read the tags of the Open Graph protocol (https://ogp.me).
    There is no picture among them: it would need the address at which the page will be.

    Args:
        page: the built page, as HTML.
        run: the run.

    Raises:
        SaematchError: the page has no title that could be replaced.
    """
    title, description = title_of(run), description_of(run)
    tags = [f"<title>{html.escape(title)}</title>"]
    for kind, name, content in (
        ("name", "description", description),
        ("property", "og:type", "website"),
        ("property", "og:site_name", "saematch"),
        ("property", "og:title", title),
        ("property", "og:description", description),
        ("name", "twitter:card", "summary"),
    ):
        tags.append(f'<meta {kind}="{name}" content="{html.escape(content)}" />')
    head = "\n".join(f"    {tag}" for tag in tags)
    told, count = _TITLE.subn(lambda _: head, page, count=1)
    if not count:
        raise SaematchError("the built page has no title: build it anew (npm run build in web/)")
    return told


def title_of(run: Run) -> str:
    """What the run is about, in a few words."""
    model = _model(run)
    if run.section("flow") is not None:
        return f"How features flow through {model}"
    if run.section("compare") is not None:
        return f"Which features {len(run.names)} autoencoders of {model} share"
    return f"How features of {model} match"


def description_of(run: Run) -> str:
    """Which SAEs were matched, how, and how many of their features have a match."""
    methods = sorted({_plain(pair.summary.method) for pair in run.record.pairs})
    by = f", matched by {' and '.join(methods[:2])}" if methods else ""
    autoencoders = "autoencoder" if len(run.names) == 1 else "autoencoders"
    first = f"{len(run.names)} sparse {autoencoders} of {_model(run)}{by}."
    return " ".join([first, *_claim(run), "Any feature can be looked up, with what it fires on."])


def _claim(run: Run) -> list[str]:
    """The share of features with a match: of neighbours in the chain, else of all pairs."""
    flow = run.section("flow")
    chain = [] if flow is None else flow.chain
    steps = set(pairwise(chain))
    pairs = [pair for pair in run.record.pairs if not steps or pair.names in steps]
    shares = sorted(share for pair in pairs if (share := _share(pair)) is not None)
    if not shares:
        return []
    tested = all(pair.summary.fdr is not None for pair in pairs)
    have = "have a match that chance does not explain" if tested else "are matched"
    low, high = (f"{100 * share:.0f}" for share in (shares[0], shares[-1]))
    between = f" ({low} to {high} %)" if low != high else ""
    where = "From one layer to the next" if steps else "In a pair of them"
    return [f"{where}, {100 * median(shares):.0f} % of the features{between} {have}."]


def _share(pair: PairRecord) -> float | None:
    used = pair.summary.features_a - pair.summary.excluded_a
    return pair.summary.matched / used if used else None


def _model(run: Run) -> str:
    """The model, or the models, that the SAEs read."""
    found = {sae.conventions.model for sae in run.record.saes} - {None}
    return " and ".join(sorted(_plain(str(name)) for name in found)[:2]) or "a language model"


def _plain(name: str) -> str:
    """A name from elsewhere as one short line: control characters could turn a line around."""
    seen = "".join(c if c.isprintable() else "\ufffd" for c in name)
    return seen if len(seen) <= LONGEST else f"{seen[: LONGEST - 1]}…"
