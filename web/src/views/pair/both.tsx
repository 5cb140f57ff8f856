import type { Matches } from "../../data/matches";
import type { Pair } from "../../data/run";
import { figure, percent, pValue } from "../../draw/format";
import { FeatureChip } from "../../parts/chip";
import { ContextList } from "../../parts/contexts";
import { Failure } from "../../parts/notices";
import { latest, useLoaded } from "../../parts/use";
import { changed, writeHash } from "../../state";
import type { ViewProps } from "../view";

/** What both features of a match fire on, side by side. */
export function Both(
  props: ViewProps & {
    pair: Pair;
    matches: Matches;
    row: number;
    label: (site: string, feature: number) => string | null;
  },
) {
  const { data, explorer, state, go, pair, matches, row, label } = props;
  const target = matches.target[row];
  const sides = [
    { site: pair.a, feature: row },
    ...(target >= 0 ? [{ site: pair.b, feature: target }] : []),
  ];
  const loaded = useLoaded(
    () => Promise.all(sides.map((side) => data.contextsOf(explorer, side.site, side.feature))),
    [pair.a, pair.b, row, target],
  );
  const contexts = latest(loaded);
  const said = [
    `score ${figure(matches.score[row])}`,
    `p ${pValue(matches.p[row])}`,
    `cosine ${figure(matches.cosine[row])}`,
    ...(matches.pearson ? [`firing ${figure(matches.pearson[row])}`] : []),
    matches.matched[row] ? "accepted" : "not accepted",
  ];
  return (
    <div class="both" data-testid="pair-contexts" aria-live="polite">
      <p class="both-said">{said.join(" · ")}</p>
      {loaded.status === "error" && <Failure error={loaded.error} />}
      <div class="both-sides">
        {sides.map(({ site, feature }, i) => {
          const its = contexts?.[i];
          return (
            <section key={site} aria-label={`${site} ${feature}`}>
              <FeatureChip
                site={site}
                feature={feature}
                label={label(site, feature)}
                go={go}
                href={writeHash(changed(state, { view: "life", site, feature }))}
              />
              {its ? (
                <>
                  <p class="aside">
                    fires on {percent(its.frequency)} of tokens, at most {figure(its.max)}
                  </p>
                  <ContextList contexts={its} limit={7} />
                </>
              ) : (
                contexts && <p class="aside">The run knows no contexts of this feature.</p>
              )}
            </section>
          );
        })}
      </div>
    </div>
  );
}
