import type { Explorer } from "../../data/explorer";
import { featureName, type Run } from "../../data/run";
import { changed, type State, writeHash } from "../../state";

/** What is wrong with the feature that the address names; null: it is there. */
export function missingOf(run: Run, explorer: Explorer, state: State): string | null {
  const { site, feature } = state;
  if (site === null || feature === null) return null;
  if (!run.has(site)) return `The run has no SAE ${site}. It has ${run.names.join(", ")}.`;
  const { features } = explorer.site(site);
  if (feature < features) return null;
  return `${site} has ${features} features, from 0 to ${features - 1}: there is no ${feature}.`;
}

/** Says that a feature is not there, and leads to the nearest ones that are. */
export function Missing(props: { why: string; run: Run; explorer: Explorer; state: State }) {
  const { why, explorer, state } = props;
  return (
    <div class="notice failure" role="alert">
      <h1 class="notice-title">There is no such feature</h1>
      <p class="notice-why">
        <bdi>{why}</bdi>
      </p>
      <p>
        Nearest to it:{" "}
        {nearest(props.run, explorer, state).map(({ site, feature }, i) => (
          <span key={site}>
            {i > 0 && ", "}
            <a href={writeHash(changed(state, { site, feature }))}>
              <bdi>{featureName(site, feature)}</bdi>
            </a>
          </span>
        ))}
        . Or press <kbd>/</kbd> and search for a token that it fires on.
      </p>
    </div>
  );
}

/** Features that are there: of the same SAE the last, else of those whose names are most alike. */
function nearest(run: Run, explorer: Explorer, state: State): { site: string; feature: number }[] {
  const asked = state.site ?? "";
  const sites = run.has(asked)
    ? [asked]
    : [...run.names].sort((x, y) => distance(x, asked) - distance(y, asked)).slice(0, 3);
  return sites.map((site) => ({
    site,
    feature: Math.min(state.feature ?? 0, explorer.site(site).features - 1),
  }));
}

/** How many characters must be put in, taken out or changed to make one text of another. */
function distance(one: string, other: string): number {
  const [x, y] = [one.slice(0, 80), other.slice(0, 80)];
  let row = Array.from({ length: y.length + 1 }, (_, j) => j);
  for (let i = 1; i <= x.length; i++) {
    const next = [i];
    for (let j = 1; j <= y.length; j++) {
      const same = row[j - 1] + Number(x[i - 1] !== y[j - 1]);
      next.push(Math.min(same, row[j] + 1, next[j - 1] + 1));
    }
    row = next;
  }
  return row[y.length];
}
