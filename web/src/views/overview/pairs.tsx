import { type Pair, type Run, testedOf } from "../../data/run";
import { count, figure, percent, several } from "../../draw/format";
import { Explained } from "../../parts/explained";
import { type ColumnOf, Table } from "../../parts/table";
import type { Go, State } from "../../state";
import { changed, writeHash } from "../../state";
import type { Figures, Layer } from "./figures";
import { wordsOf } from "./geometry";

interface Its {
  run: Run;
  figures: Figures;
  state: State;
  go: Go;
}

/** All pairs with their figures: those of neighbours, and the others. */
export function Pairs(props: Its) {
  const { run } = props;
  const steps = new Set(run.steps.map(({ a, b }) => `${a}--${b}`));
  const adjacent = ({ a, b }: Pair) => steps.has(`${a}--${b}`);
  const [near, far] = [run.pairs.filter(adjacent), run.pairs.filter((pair) => !adjacent(pair))];
  return (
    <>
      <p class="pair-terms">
        {["matched", "tested", "beyond chance", "cosine", "i to i", "mutual"].map((term) => (
          <Explained key={term} term={term} />
        ))}
      </p>
      {near.length > 0 && (
        <PairTable {...props} name="pairs" label="Pairs of neighbours" pairs={near} />
      )}
      {far.length > 0 && near.length > 0 && (
        <details class="further">
          <summary>{several(far.length, "pair")} of other layers and modules</summary>
          <PairTable {...props} name="other-pairs" label="Other pairs" pairs={far} />
        </details>
      )}
      {!near.length && <PairTable {...props} name="pairs" label="Pairs of SAEs" pairs={far} />}
    </>
  );
}

function PairTable(props: Its & { name: string; label: string; pairs: readonly Pair[] }) {
  const { figures, state, go, pairs } = props;
  const open = ({ a, b }: Pair) => go({ view: "pair", a, b });
  const measure = (
    key: string,
    title: string,
    value: (pair: Pair) => number | null | undefined,
    say: (value: number | null | undefined) => string,
  ): ColumnOf<Pair> => ({
    key,
    title,
    numeric: true,
    width: "7.2em",
    show: (pair) => say(value(pair)),
    text: (pair) => value(pair) ?? null,
  });
  const columns: ColumnOf<Pair>[] = [
    {
      key: "pair",
      title: "pair",
      width: "17em",
      grows: true,
      show: (pair) => (
        <a
          href={writeHash(changed(state, { view: "pair", a: pair.a, b: pair.b }))}
          onClick={(event) => {
            event.stopPropagation();
            if (event.metaKey || event.ctrlKey || event.shiftKey) return;
            event.preventDefault();
            open(pair);
          }}
        >
          <bdi class="site">{pair.a}</bdi> → <bdi class="site">{pair.b}</bdi>
        </a>
      ),
      text: ({ a, b }) => `${a} → ${b}`,
    },
    measure("matched", "matched", ({ summary }) => summary.matched, count),
    measure(
      "share",
      "share",
      ({ summary }) => summary.matched / (summary.features_a - summary.excluded_a),
      percent,
    ),
    measure("tested", "tested", ({ summary }) => testedOf(summary).median, figure),
    measure("chance", "by chance", ({ summary }) => testedOf(summary).chance, figure),
    measure("beyond", "beyond chance", figures.beyond, figure),
    measure("cosine", "cosine", ({ summary }) => known(summary.median_decoder_cosine), figure),
    measure("identity", "i to i", ({ summary }) => known(summary.identity_decoder_cosine), figure),
    measure("mutual", "mutual", ({ summary }) => summary.mutual_share, percent),
  ];
  return (
    <Table
      name={props.name}
      label={props.label}
      columns={columns}
      count={pairs.length}
      row={(i) => pairs[i]}
      onOpen={open}
      height={440}
      testid="overview-pairs"
    />
  );
}

/** The numbers of the river, which add up. */
export function Numbers({ run, figures, go }: Its) {
  const { layers } = figures;
  const words = wordsOf(figures);
  const column = (
    key: string,
    title: string,
    value: (layer: Layer) => number,
  ): ColumnOf<Layer> | null =>
    layers.some((layer) => value(layer) > 0)
      ? {
          key,
          title,
          numeric: true,
          width: "8em",
          show: (layer) => count(value(layer)),
          text: value,
        }
      : null;
  const columns: (ColumnOf<Layer> | null)[] = [
    {
      key: "site",
      title: "layer",
      width: "9em",
      grows: true,
      show: ({ site }) => <bdi>{site}</bdi>,
      text: ({ site }) => site,
    },
    column("births", words.begin, ({ births }) => births),
    column("arriving", "from before", ({ arriving }) => arriving),
    column("landing", "over a layer", ({ landing }) => landing),
    column("apart", "split off", ({ apart }) => apart),
    column("features", "= features =", ({ features }) => features),
    column("onward", "to the next", ({ onward }) => onward),
    column("passing", "pass over it", ({ passing }) => passing),
    column("deaths", words.end, ({ deaths }) => deaths),
  ];
  return (
    <details class="further" data-testid="numbers">
      <summary>The numbers</summary>
      <Table
        name="layers"
        label="What comes to each layer and what becomes of it"
        columns={columns.filter((each) => each !== null)}
        count={layers.length}
        row={(i) => layers[i]}
        onOpen={({ site }) => run.has(site) && go({ view: "find", more: { site } })}
        height={440}
      />
    </details>
  );
}

function known(value: unknown): number | null {
  return typeof value === "number" ? value : null;
}
