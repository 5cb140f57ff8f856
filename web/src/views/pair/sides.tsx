import type { ComponentChildren } from "preact";
import { figure, percent } from "../../draw/format";
import { FeatureChip } from "../../parts/chip";
import { ContextList } from "../../parts/contexts";
import { Failure } from "../../parts/notices";
import { latest, useLoaded } from "../../parts/use";
import { changed, writeHash } from "../../state";
import type { ViewProps } from "../view";
import type { LabelOf } from "./named";

/** A feature whose contexts are shown, and what it is to the others. */
export interface Side {
  site: string;
  feature: number;
  note?: string;
}

const MOST = 8; // features beside each other

/** What a few features fire on, side by side; each is a link to its life. */
export function Sides(
  props: ViewProps & { sides: readonly Side[]; label: LabelOf; children?: ComponentChildren },
) {
  const { data, explorer, state, go, label } = props;
  const sides = props.sides.slice(0, MOST);
  const loaded = useLoaded(
    () => Promise.all(sides.map((side) => data.contextsOf(explorer, side.site, side.feature))),
    [sides.map(({ site, feature }) => `${site}/${feature}`).join()],
  );
  const contexts = latest(loaded);
  const limit = sides.length > 2 ? 4 : 7;
  return (
    <div
      class="both"
      data-testid="pair-contexts"
      aria-live="polite"
      aria-busy={loaded.status === "loading"}
    >
      <p class="both-said">{props.children}</p>
      {loaded.status === "error" && <Failure error={loaded.error} />}
      <div class="both-sides">
        {sides.map(({ site, feature, note }, i) => {
          const its = contexts?.[i];
          return (
            <section key={`${site}/${feature}`} aria-label={`${site} ${feature}`}>
              <FeatureChip
                site={site}
                feature={feature}
                label={label(site, feature)}
                go={go}
                href={writeHash(changed(state, { view: "life", site, feature }))}
              />
              {note && <p class="aside">{note}</p>}
              {its ? (
                <>
                  <p class="aside">
                    fires on {percent(its.frequency)} of tokens, at most {figure(its.max)}
                  </p>
                  <ContextList contexts={its} limit={limit} />
                </>
              ) : (
                contexts && <p class="aside">The run knows no contexts of this feature.</p>
              )}
            </section>
          );
        })}
      </div>
      {props.sides.length > MOST && (
        <p class="aside">and {props.sides.length - MOST} more, which the list names.</p>
      )}
    </div>
  );
}
