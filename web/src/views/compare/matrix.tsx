import type { Run } from "../../data/run";
import { count, percent } from "../../draw/format";
import { CsvButton } from "../../parts/table";
import { changed, type State, writeHash } from "../../state";

interface Row {
  a: string;
  b: string;
  shared: number;
  features: number;
}

/** How many features of the SAE of the row are shared with that of the column. */
export function SharedMatrix({ run, state }: { run: Run; state: State }) {
  const { features = {}, shared = [] } = run.manifest.compare ?? {};
  const between = (a: string, b: string) =>
    shared.find((pair) => (pair.a === a && pair.b === b) || (pair.a === b && pair.b === a));
  const rows = run.names.flatMap((a) =>
    run.names.flatMap((b): Row[] => {
      const found = a === b ? undefined : between(a, b);
      return found ? [{ a, b, shared: found.shared, features: features[a] }] : [];
    }),
  );
  return (
    <>
      <div class="scrolls">
        <table
          class="shared-matrix"
          aria-label="Features shared by pair"
          data-testid="shared-matrix"
        >
          <thead>
            <tr>
              <th scope="col">of</th>
              {run.names.map((name) => (
                <th key={name} scope="col">
                  <bdi class="site">{name}</bdi>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {run.names.map((a) => (
              <tr key={a}>
                <th scope="row">
                  <bdi class="site">{a}</bdi>
                  <small>{count(features[a])} features</small>
                </th>
                {run.names.map((b) => {
                  const row = rows.find((one) => one.a === a && one.b === b);
                  if (!row) return <td key={b} class={a === b ? "self" : undefined} />;
                  const share = row.shared / Math.max(1, row.features);
                  const pair = run.pair(a, b) ?? run.pair(b, a);
                  const to = { view: "pair", a: pair?.a, b: pair?.b } as const;
                  return (
                    <td key={b} style={{ "--share": `${Math.round(50 * Math.sqrt(share))}%` }}>
                      <a href={writeHash(changed(state, to))} title={`${a} and ${b}: the pair`}>
                        <b>{count(row.shared)}</b> <small>{percent(share)}</small>
                      </a>
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <CsvButton
        name="shared-by-pair"
        columns={[
          { title: "of", text: (row: Row) => row.a },
          { title: "with", text: (row: Row) => row.b },
          { title: "shared", text: (row: Row) => row.shared },
          { title: "features", text: (row: Row) => row.features },
        ]}
        rows={() => rows}
      />
    </>
  );
}
