import { type Causes as All, CEILINGS, isNamed, type Replacement } from "../../data/causes";
import { count, percent, several } from "../../draw/format";
import { Figure } from "../../parts/figure";
import { CsvButton } from "../../parts/table";
import { Curves } from "./curves";
import { COLUMNS, Dots, keyOf, type Row } from "./dots";
import { kindOf, plain, two } from "./written";

/** How well partners take the place of features. */
export function Substitution(props: {
  all: All;
  replacements: readonly Replacement[];
  whole: boolean;
}) {
  const { all, replacements, whole } = props;
  if (!replacements.length) return null;
  const its = [...replacements].sort((x, y) => y.equivalence.value - x.equivalence.value);
  const best = its.find(({ method }) => isNamed(method));
  const random = its.find(({ method }) => method === "random partner");
  const ceiling = its.find(({ method }) => CEILINGS.includes(method));
  const drawn = whole ? all.curves : [];
  const values = its.flatMap(({ equivalence }) => [equivalence.low, equivalence.high]);
  const known = values.filter((value) => !Number.isNaN(value));
  const low = Math.min(-0.1, ...known);
  const high = Math.max(0.1, ...known);
  const rows = its.map(
    ({ method, equivalence, coverage, features }): Row => ({
      name: method,
      its: Number.isNaN(equivalence.value) ? null : equivalence,
      control: null,
      kind: kindOf(method),
      said: `${method}: ${plain(equivalence)}, of the ${percent(coverage)} of ${count(features)} features that have a partner`,
    }),
  );
  return (
    <section>
      <Figure
        name="cause-replaced"
        title="A feature's partner is put in its place"
        legend={[
          ...keyOf(rows, ""),
          ...(drawn.length
            ? [{ color: "var(--quiet)", text: "what no matching is", kind: "dash" } as const]
            : []),
        ]}
      >
        {best && (
          <p class="cause-sentence" data-testid="cause-replaced-sentence">
            With the partner by <b class="method">{best.method}</b> in a feature's place, causal
            equivalence is <b>{two(best.equivalence.value)}</b> ({two(best.equivalence.low)} to{" "}
            {two(best.equivalence.high)})
            {random && (
              <>
                , with a random partner <b>{two(random.equivalence.value)}</b>
              </>
            )}
            {ceiling && (
              <>
                , with the feature that its removal affects most{" "}
                <b>{two(ceiling.equivalence.value)}</b>
              </>
            )}
            .
            {best.alike > 0 && (
              <>
                {" "}
                Of {several(best.alike, "partner")} with a decoder cosine of 0.7 or more,{" "}
                <b>{percent(best.alikeDifferent)}</b> are no better than nothing.
              </>
            )}
          </p>
        )}
        <p class="aside">
          Causal equivalence: 1, predictions as if nothing was changed; 0, as if the feature was
          only removed; below, worse than that.
        </p>
        <div class={drawn.length ? "cause-pair" : undefined}>
          <Dots
            label="Causal equivalence"
            title={drawn.length ? "All features with a partner" : undefined}
            rows={rows}
            domain={[low, high]}
            rule={0}
            write={two}
            testid="cause-replaced-dots"
          />
          {drawn.length > 0 && (
            <Curves
              title="The surest partners first"
              curves={drawn}
              levels={its.filter(({ method }) => !isNamed(method))}
              features={best?.features ?? 0}
              best={best?.method ?? null}
            />
          )}
        </div>
      </Figure>
      <CsvButton name="cause-replaced" columns={COLUMNS} rows={() => rows} />
    </section>
  );
}
