import { type Letter, type Origin, THROUGH } from "../../data/relations";
import type { Pair } from "../../data/run";
import { count, figure, percent, pValue } from "../../draw/format";
import { Explained } from "../../parts/explained";
import { Segments } from "../../parts/segments";
import type { ColumnOf } from "../../parts/table";
import type { ViewProps } from "../view";
import { Listing } from "./listing";
import { type LabelOf, Named, namedText } from "./named";

/** Where the features of B come from: the stream before, the MLP, attention. */
export function Origins(
  props: ViewProps & {
    pair: Pair;
    origins: readonly Origin[];
    label: LabelOf;
  },
) {
  const { explorer, state, go, pair, origins, label } = props;
  const { b } = pair;
  const classes = explorer.index.origins;
  const of = (origin: string) => origins.filter((one) => one.origin === origin);
  const there = classes.filter((origin) => of(origin).length);
  const chosen = there.find((origin) => origin === state.more.origin) ?? there[0] ?? "";
  const rows = of(chosen);
  const letters = (["R", "M", "A"] as const).filter((letter) =>
    origins.some(({ sources }) => sources.some((source) => source.letter === letter)),
  );
  const columns = (narrow: boolean): ColumnOf<Origin>[] => [
    {
      key: "feature",
      title: b,
      width: narrow ? "9em" : "11em",
      show: ({ feature }) => <Named feature={feature} label={label(b, feature)} />,
      text: ({ feature }) => namedText(feature, label(b, feature)),
    },
    ...letters.map((letter): ColumnOf<Origin> => {
      return {
        key: letter,
        title: `Best of the ${THROUGH[letter]}`,
        width: "13em",
        grows: true,
        show: (row) => <Source row={row} letter={letter} label={label} />,
        text: (row) => {
          const source = sourceOf(row, letter);
          return source
            ? `${source.site} ${namedText(source.feature, label(source.site, source.feature))}, p ${source.p}`
            : null;
        },
      };
    }),
  ];
  return (
    <>
      <Segments
        label="Of which origin"
        value={chosen}
        choices={there.map((value) => ({
          value,
          text: `${value} ${count(of(value).length)}`,
        }))}
        onChange={(value) => go({ more: { origin: value, pick: null } })}
      />
      <Listing<Origin>
        {...props}
        name={`${b}-${chosen}`}
        title={`${chosen} features of ${b}`}
        says={
          <>
            {percent(origins.length ? rows.length / origins.length : null)} of the{" "}
            {count(origins.length)} features of {b} are{" "}
            <Explained term={chosen}>{chosen}</Explained>. Beside each stand its best source at each
            place before it, with the p-value. Features that are rare and fire mostly on one token
            come first, then the surest.
          </>
        }
        columns={columns}
        rows={rows}
        keyOf={({ feature }) => feature}
        sides={({ feature, sources }) => [
          { site: b, feature },
          ...sources.map((source) => ({
            site: source.site,
            feature: source.feature,
            note: `${THROUGH[source.letter]}: cosine ${figure(source.cosine)} · p ${pValue(source.p)}`,
          })),
        ]}
        told={({ feature, origin }) => `${b} ${feature} · ${origin}`}
      />
    </>
  );
}

function sourceOf(row: Origin, letter: Letter) {
  return row.sources.find((source) => source.letter === letter);
}

function Source(props: { row: Origin; letter: Letter; label: LabelOf }) {
  const source = sourceOf(props.row, props.letter);
  if (!source) return <span class="muted">none</span>;
  return (
    <span class="with-p">
      <Named feature={source.feature} label={props.label(source.site, source.feature)} />
      <span class="muted">p {pValue(source.p)}</span>
    </span>
  );
}
