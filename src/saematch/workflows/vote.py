"""`saematch.vote`: people say whether matched features mean the same."""

from __future__ import annotations

from pathlib import Path

from saematch.activations.store import ActivationStore
from saematch.errors import RunError
from saematch.explorer import show
from saematch.judging.ballot import CASES, ballot
from saematch.judging.shown import Shown
from saematch.judging.votes import VotesFile
from saematch.judging.voting import Voting
from saematch.progress import Progress, Step, silent
from saematch.workflows.runs import GivenRun, opened_run
from saematch.workflows.tokens import StoredTokens


def vote(
    run: GivenRun,
    activations: ActivationStore | str | Path,
    name: str,
    *,
    cases: int = CASES,
    port: int | None = None,
    open_browser: bool = True,
    progress: Progress | None = None,
) -> Voting:
    """Serve a page on which a person votes, on 127.0.0.1, until `stop` or the program's end.

    Two features are shown side by side by what they fire on, A's of one half of the text, B's of
    the other, and nothing else of them. The pairs are a random part of those that `saematch judge`
    judged, controls among them, and the same for everybody; their order and sides are not. Each
    vote is appended to `votes/NAME.jsonl` in the run as it is made. Called again, the page goes on
    where it stopped.

    Args:
        run: a run that was judged, or its directory.
        activations: a store that `saematch.capture` made of the run's SAEs, or its folder.
        name: of who votes, which the file of votes is called after.
        cases: how many pairs, a quarter of them controls.
        port: unless given, a free one.
        open_browser: open the page in one.
        progress: called with a `Step` of `saematch.progress` as work proceeds; `print`
            will do.

    Returns:
        What is being served: its `url`, how many votes are `done` of the `total`, the `path` they
        are written to; `saematch.judging.votes.people(run)` has them as verdicts.

    Raises:
        RunError: the run was not judged, the store lacks an SAE or is not finished, no pair has
            contexts in both halves of the text, `cases` is below 1, or there can be no file of that
            name.
        SaematchError: the port is taken.
    """
    run, tell = opened_run(run), progress or silent
    if cases < 1:
        raise RunError(f"cases is {cases}; it must be 1 at least")
    if run.section("judging") is None:
        raise RunError(
            f"{run.path} was not judged: run saematch judge {run.path} --activations STORE first, "
            "which draws the pairs to vote on"
        )
    votes = VotesFile(run, name)
    stored = StoredTokens(activations)
    named = {site: stored.name_of(run.sae(site)) for site in run.names}
    shown = Shown(run, stored.store, named)
    tell(Step("reading contexts", 0, None))
    drawn = ballot(run.table("judging", "cases"), shown, name, cases)
    if not drawn.pairs:
        raise RunError(
            f"no pair that {run.path} was judged on has contexts in both halves of the text of "
            f"{stored.store.path}: give the activations that it was judged with"
        )
    voting = Voting(drawn, shown, votes, name, port)
    if open_browser:
        show(voting.url)
    return voting
