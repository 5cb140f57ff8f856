import { useMemo } from "preact/hooks";
import { type Matches, readBrush, writeBrush } from "../../data/matches";
import { count } from "../../draw/format";
import { numberOf } from "../../state";
import type { ViewProps } from "../view";
import { axesOf, BrushFields, Scatter } from "./scatter";

/** The scatter of pointing against firing, with the part of it that is chosen. */
export function Choice({ state, go, matches }: ViewProps & { matches: Matches }) {
  const axes = useMemo(() => axesOf(matches), [matches]);
  const brush = useMemo(() => readBrush(state.more.brush), [state.more.brush]);
  const assigned = matches.target.filter((target) => target >= 0).length;
  const known = axes.y.filter((value, i) => matches.target[i] >= 0 && !Number.isNaN(value)).length;
  return (
    <section aria-labelledby="pair-scatter">
      <h2 id="pair-scatter">
        Pointing and firing
        <small>
          <i class="key accent" /> matched <i class="key" /> not accepted. Drag to list a part.
        </small>
      </h2>
      <Scatter
        matches={matches}
        axes={axes}
        brush={brush}
        picked={numberOf(state.more.pick)}
        theme={document.documentElement.dataset.theme ?? ""}
        onPick={(row) => go({ more: { pick: row } })}
        onBrush={(next, done) =>
          go(
            {
              more: next
                ? { brush: writeBrush(next), list: "brush", sort: null, dir: null }
                : { brush: null, list: null },
            },
            { replace: !done },
          )
        }
      />
      {matches.pearson && known < assigned && (
        <p class="aside">
          {count(known)} of {count(assigned)} features: of the others the correlation with their
          target is not among those the run keeps.
        </p>
      )}
      <BrushFields
        axes={axes}
        brush={brush}
        onBrush={(next) =>
          go({
            more: next
              ? { brush: writeBrush(next), list: "brush", sort: null, dir: null }
              : { brush: null, list: null },
          })
        }
      />
    </section>
  );
}
