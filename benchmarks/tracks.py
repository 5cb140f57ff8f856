"""Ten tracks of a flow with what their features fire on, from the strongest to the weakest.

    saematch flow saematch:resid_post_{0-5} --method feature-flow -o runs/flow
    python -m benchmarks.tracks runs/flow

The tracks have at least four features and stand in the order of the score of their weakest link,
the one with the largest p-value; ten are taken at equal steps, so that good and bad show as often
as there are. Printed as Markdown.
"""

from __future__ import annotations

import argparse

import numpy as np

from saematch.runs.run import Run
from saematch.sae.contexts import Context, top_contexts

AROUND = 22  # characters of a context on either side


def shown(context: Context) -> str:
    text = f"{context.before[-AROUND:]}«{context.token}»{context.after[:AROUND]}"
    return text.replace("\n", "↵").replace("|", "\\|").replace("`", "'").replace("\ufffd", "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--mode", default="chained")
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--contexts", type=int, default=2)
    options = parser.parse_args()
    run = Run.open(options.run)
    spans = run.table("flow", "spans").filter(mode=options.mode)
    spans = spans.filter(spans["length"] >= 4).sort("weakest_score", descending=True)
    tracks = run.table("flow", "tracks").filter(mode=options.mode)
    chosen = np.linspace(0, spans.height - 1, options.count).round().astype(int)
    print(
        f"{options.count} of {spans.height:,} tracks of four or more features, mode {options.mode}"
    )
    for number, place in enumerate(chosen, 1):
        span = spans.row(int(place), named=True)
        print(f"\n**{number}.** weakest link {span['weakest_score']:.2f}\n")
        print("| site | feature | score of the link | fires on |\n|---|---|---|---|")
        for step in tracks.filter(track=span["track"]).sort("position").to_dicts():
            contexts = run.contexts(step["site"])
            found = []
            if contexts is not None:
                found = top_contexts(contexts, step["feature"], options.contexts)
            score = "" if step["score"] is None else f"{step['score']:.2f}"
            texts = "<br>".join(f"`{shown(context)}`" for context in found)
            print(f"| {step['site']} | {step['feature']} | {score} | {texts} |")


if __name__ == "__main__":
    main()
