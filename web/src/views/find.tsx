import { useMemo, useRef } from "preact/hooks";
import type { Explorer } from "../data/explorer";
import { named } from "../data/numbers";
import type { Run } from "../data/run";
import type { Feature } from "../data/tables";
import { count, several } from "../draw/format";
import { FeatureChip } from "../parts/chip";
import { Explained } from "../parts/explained";
import { Empty, Failure, Loading } from "../parts/notices";
import { Segments } from "../parts/segments";
import { Table } from "../parts/table";
import { latest, useLoaded } from "../parts/use";
import { changed, type Go, type State, writeHash } from "../state";
import { columnsOf, Items } from "./find/columns";
import { Filters } from "./find/filters";
import { LifelineLegend } from "./find/lifeline";
import { type Answer, answer, type Query, queryOf } from "./find/query";
import type { ViewProps } from "./view";
import "./find.css";

/** A list of tracks, or of single features: by tokens they fire on, by what they do, sorted. */
export function Find({ run, explorer, state, go }: ViewProps) {
  const tracks = explorer.index.mode !== null;
  const asked = queryOf(state, tracks);
  const number = named(run, asked.text);
  const exact = number.features.length > 0 && !number.plain;
  const query: Query = { ...asked, apart: !exact && number.wrong === null };
  const orders = useRef(new Map<string, Uint32Array>());
  const found = useLoaded(
    // what an answer's rows are does not change while another is sought
    async () => ({ answer: await answer(explorer, query, orders.current), query }),
    [JSON.stringify(query)],
  );
  const held = latest(found);
  return (
    <div class="find" data-testid="view-find">
      <div class="find-head">
        <h1>
          {query.text ? (
            <>
              Firing on “<bdi>{query.text}</bdi>”
            </>
          ) : query.tracks ? (
            "Tracks"
          ) : (
            "Features"
          )}
        </h1>
        {tracks && (
          <Segments
            label="List"
            choices={LISTS}
            value={query.tracks ? "tracks" : "features"}
            onChange={(list) => go({ more: { list: list === "tracks" ? null : list } })}
          />
        )}
      </div>
      {number.features.length > 0 && (
        <Numbered features={number.features} explorer={explorer} state={state} go={go} />
      )}
      {number.wrong !== null && (
        <p class="wrong" role="status" data-testid="wrong-number">
          No feature has that number: {number.wrong}
        </p>
      )}
      <div class="find-body">
        <Filters run={run} explorer={explorer} state={state} go={go} />
        {/* the list in it is where a search leads the focus */}
        <section aria-label="Results" aria-busy={found.status === "loading"} data-arrive>
          {found.status === "error" && <Failure error={found.error} />}
          {!held && found.status === "loading" && <Loading what="the features" />}
          {held && (
            <>
              <Counted explorer={explorer} {...held} />
              {held.answer.rows ? (
                <List {...{ run, explorer, state, go, ...held }} />
              ) : (
                <Nothing run={run} text={query.text} />
              )}
            </>
          )}
        </section>
      </div>
    </div>
  );
}

const LISTS = [
  {
    value: "tracks",
    text: "Tracks",
    hint: "one row for a feature's whole life; a feature on no track has a row of its own",
  },
  { value: "features", text: "Features", hint: "one row for each feature of each SAE" },
] as const;

interface Held {
  explorer: Explorer;
  answer: Answer;
  query: Query;
}

function List(props: Held & { run: Run; state: State; go: Go }) {
  const { run, explorer, answer, query, state, go } = props;
  const items = useMemo(() => new Items(explorer, answer, query.tracks), [explorer, answer]);
  const columns = useMemo(
    () => columnsOf(run, explorer, items, query, state, go),
    [items, writeHash(state)],
  );
  const onSort = (key: string) => {
    const turned = query.sort === key && !(state.more.sort ?? "").startsWith("-");
    go({ more: { sort: turned ? `-${key}` : key } });
  };
  const what = query.tracks ? "tracks" : "features";
  return (
    <Table
      name={what}
      label={query.tracks ? "Tracks" : "Features"}
      columns={columns}
      count={answer.rows}
      row={(i) => i}
      sort={query.sort}
      descending={query.descending}
      onSort={onSort}
      onNear={(row) => items.at(row).then(({ node }) => explorer.foresee(node), ignored)}
      onOpen={(row) =>
        items.at(row).then(({ site, feature }) => go({ view: "life", site, feature }), ignored)
      }
      height={Math.max(360, innerHeight - 260)}
    />
  );
}

/** A row that could not be read says so itself. */
function ignored() {}

function Counted({ explorer, answer, query }: Held) {
  const { rows, features, apart, left } = answer;
  const all = several(explorer.index.nodes, "feature");
  return (
    <div class="found">
      <p role="status">
        <span data-testid="found">
          {query.tracks && `${several(rows, "track")} with `}
          {count(features)} of {all}
        </span>
        {apart.map(({ word, pieces }) => (
          <span key={word}>
            {" "}
            · No token holds “<bdi>{word}</bdi>”: found is what fires on{" "}
            {pieces.map((piece, i) => (
              <>
                {i > 0 && " or "}“<bdi>{piece}</bdi>”
              </>
            ))}
          </span>
        ))}
        {left > 0 && (
          <span>
            {" "}
            · {several(left, "longer token")} with that inside left out: type more of the word
          </span>
        )}
      </p>
      {query.tracks && rows > 0 && (
        <div class="found-signs">
          <Explained term="lifeline">Lifelines</Explained>
          <LifelineLegend />
        </div>
      )}
    </div>
  );
}

function Numbered(props: { features: Feature[]; explorer: Explorer; state: State; go: Go }) {
  const { features, explorer, state, go } = props;
  const nodes = features.map(({ site, feature }) => explorer.node(site, feature));
  const labels = useLoaded(() => explorer.labels(nodes), [nodes.join()]);
  return (
    <section class="numbered" aria-label="By number" data-testid="by-number">
      <h2>By number</h2>
      <ul>
        {features.map(({ site, feature }, i) => (
          <li key={site}>
            <FeatureChip
              site={site}
              feature={feature}
              label={latest(labels)?.get(nodes[i])}
              go={go}
              href={writeHash(changed(state, { view: "life", site, feature }))}
            />
          </li>
        ))}
      </ul>
    </section>
  );
}

function Nothing({ run, text }: { run: Run; text: string }) {
  const layer = run.layer(run.chain[0] ?? run.names[0]) ?? 0;
  return (
    <Empty title="No feature is like that">
      {text
        ? "Search looks at the tokens that features fire on most, and at labels they were given. Try a shorter part of a word, loosen the filters, or give a number such as "
        : "Loosen the filters, or give a number such as "}
      <code>{layer}_100</code>.
    </Empty>
  );
}
