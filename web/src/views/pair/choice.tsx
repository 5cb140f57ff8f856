import { useMemo } from "preact/hooks";
import { type Brush, type Matches, readBrush, writeBrush } from "../../data/matches";
import type { Pair } from "../../data/run";
import { count } from "../../draw/format";
import { Figure } from "../../parts/figure";
import { numberOf } from "../../state";
import type { ViewProps } from "../view";
import { axesOf, BrushFields, Scatter } from "./scatter";

/** The scatter of two measures of the targets, with the part of it that is chosen. */
export function Choice(props: ViewProps & { pair: Pair; matches: Matches; height: number }) {
  const { state, go, pair, matches, height } = props;
  const axes = useMemo(() => axesOf(matches), [matches]);
  const brush = useMemo(() => readBrush(state.more.brush), [state.more.brush]);
  const assigned = matches.target.filter((target) => target >= 0).length;
  const known = axes.y.filter((value, i) => matches.target[i] >= 0 && !Number.isNaN(value)).length;
  const choose = (next: Brush | null, replace = false) =>
    go(
      {
        more: next
          ? { brush: writeBrush(next), list: "brush", sort: null, dir: null, pick: null }
          : { brush: null, list: null, pick: null },
      },
      { replace },
    );
  return (
    <Figure
      name={`${pair.a}-${pair.b}-scatter`}
      title={matches.pearson ? "Pointing and firing" : "Pointing and p-value"}
      legend={[
        { color: "var(--accent)", text: "matched", kind: "dot" },
        { color: "var(--quiet)", text: "not matched", kind: "dot" },
      ]}
    >
      <Scatter
        matches={matches}
        axes={axes}
        brush={brush}
        picked={numberOf(state.more.pick)}
        theme={document.documentElement.dataset.theme ?? ""}
        height={height}
        onPick={(row) => go({ more: { pick: row } })}
        onBrush={(next, done) => choose(next, !done)}
      />
      <details class="scatter-part" open={brush !== null}>
        <summary>Drag to list a part of it, or give its edges</summary>
        <BrushFields axes={axes} brush={brush} onBrush={choose} />
        {matches.pearson ? (
          known < assigned && (
            <p class="aside">
              {count(known)} of {count(assigned)} features are drawn: of the others the correlation
              with their target is too low to be among those that the run keeps.
            </p>
          )
        ) : (
          <p class="aside">
            To see which features fire together, add activations: <code>saematch relate</code>.
          </p>
        )}
      </details>
    </Figure>
  );
}
