import { CEILINGS, isNamed, type Removal } from "../../data/causes";
import { count, percent, several } from "../../draw/format";
import { Figure } from "../../parts/figure";
import { CsvButton } from "../../parts/table";
import { COLUMNS, Dots, keyOf, type Row } from "./dots";
import { kindOf, ofFive, share, within } from "./written";

/** How often features no longer fire, by what was removed. */
export function Deactivation(props: { title: string; id: string; removals: readonly Removal[] }) {
  const { title, id, removals } = props;
  if (!removals.length) return null;
  const its = removals
    .filter(({ control }) => !control)
    .sort((x, y) => y.success.value - x.success.value);
  const controlOf = (method: string) =>
    removals.find((one) => one.control && one.method === method)?.success ?? null;
  const named = its.filter(({ method }) => isNamed(method));
  const best = named.find(({ method }) => !ofFive(method)) ?? named[0];
  const five = named.find(({ method }) => ofFive(method) && method !== best?.method);
  const ceiling = its.find(({ method }) => CEILINGS.includes(method));
  const control = best && controlOf(best.method);
  const rows = its.map((one): Row => {
    const beside = controlOf(one.method);
    return {
      name: one.method,
      its: one.success,
      control: beside,
      kind: kindOf(one.method),
      said:
        `${one.method}: ${share(one.success)} of ${count(one.features)} no longer fire; ` +
        `something that fired was removed in ${percent(one.active)}` +
        (beside ? `; control ${share(beside)}` : ""),
    };
  });
  return (
    <section>
      <Figure name={id} title={title} legend={keyOf(rows, "as much removed elsewhere")}>
        {best && (
          <p class="cause-sentence" data-testid={`${id}-sentence`}>
            With the feature that <b class="method">{best.method}</b> names removed,{" "}
            <b>{percent(best.success.value)}</b> ({within(best.success, 100)}) of{" "}
            {several(best.features, "feature")} no longer fire
            {control && (
              <>
                ; with as much removed along another feature that fires there,{" "}
                <b>{percent(control.value)}</b>
              </>
            )}
            {five && (
              <>
                ; with five removed, by <b class="method">{five.method.slice(2)}</b>,{" "}
                <b>{percent(five.success.value)}</b>
              </>
            )}
            {ceiling && (
              <>
                . The best single feature, found by trying every one, stops{" "}
                <b>{percent(ceiling.success.value)}</b>
              </>
            )}
            .
          </p>
        )}
        <p class="aside">Share of features that no longer fire, with 95 % intervals.</p>
        <Dots
          label="Share of features that no longer fire"
          rows={rows}
          domain={[0, 1]}
          write={percent}
          testid={`${id}-dots`}
        />
      </Figure>
      <CsvButton name={id} columns={COLUMNS} rows={() => rows} />
    </section>
  );
}
