import type { ComponentChildren } from "preact";
import type { Explorer, Listed, TrackRow } from "../../data/explorer";
import type { Run } from "../../data/run";
import { shortened, visible } from "../../data/tokens";
import { count, figure, percent, pValue } from "../../draw/format";
import { FeatureChip } from "../../parts/chip";
import type { ColumnOf } from "../../parts/table";
import { useLoaded } from "../../parts/use";
import { changed, type Go, type State, writeHash } from "../../state";
import { Lifeline, lineText } from "./lifeline";
import type { Answer, Query } from "./query";

const AROUND = 30; // characters of a snippet on either side

/** A row of the list: a feature, and its track. */
export interface Item extends Listed {
  site: string;
  feature: number;
  line: TrackRow["line"];
}

/** The rows of an answer, each read once. */
export class Items {
  private readonly read = new Map<number, Promise<Item>>();

  constructor(
    private readonly explorer: Explorer,
    private readonly answer: Answer,
    private readonly tracks: boolean,
  ) {}

  at(row: number): Promise<Item> {
    let item = this.read.get(row);
    if (!item) {
      item = this.item(row);
      this.read.set(row, item);
      item.catch(() => this.read.delete(row));
    }
    return item;
  }

  private async item(row: number): Promise<Item> {
    const { explorer, answer } = this;
    const node = answer.nodes ? answer.nodes[row] : (await explorer.trackRow(row)).node;
    const listed = await explorer.listed(node);
    const line = this.tracks ? (await explorer.trackRow(listed.track)).line : null;
    return { ...explorer.feature(node), ...listed, line };
  }
}

type Shown = (its: Item) => ComponentChildren;

/** The columns of the list. A row is its number in the answer. */
export function columnsOf(
  run: Run,
  explorer: Explorer,
  items: Items,
  query: Query,
  state: State,
  go: Go,
): ColumnOf<number>[] {
  const cell = (show: Shown) => (row: number) => <Cell items={items} row={row} show={show} />;
  const text =
    <T,>(of: (its: Item) => T) =>
    async (row: number) =>
      of(await items.at(row));
  const label: ColumnOf<number> = {
    key: query.text ? "relevance" : "clear",
    title: "label",
    sorts: true,
    width: "8.5em",
    grows: !query.tracks,
    hint: query.text
      ? "what it is said to mean, else the tokens it fires on most; sorts by how much it fires on what is searched for"
      : "what it is said to mean, else the tokens it fires on most; sorts by how clear that is",
    show: cell(({ label }) => <bdi title={label ?? undefined}>{label?.slice(0, 300) ?? "–"}</bdi>),
    text: text(({ label }) => label),
  };
  const feature: ColumnOf<number> = {
    key: "feature",
    title: "feature",
    width: "13em",
    show: cell(({ site, feature }) => {
      const href = writeHash(changed(state, { view: "life", site, feature }));
      return <FeatureChip site={site} feature={feature} go={go} href={href} />;
    }),
    text: text(({ site, feature }) => `${site}/${feature}`),
  };
  const lifeline: ColumnOf<number> = {
    key: "lifeline",
    title: "life",
    width: "168px",
    hint: "the SAEs of the chain from the first to the last, and those where it lives",
    show: cell(({ line, site }) => <Lifeline explorer={explorer} line={line} site={site} />),
    text: text(({ line, site }) => line && lineText(explorer, line, site)),
  };
  const context: ColumnOf<number> = {
    key: "context",
    title: "where it fires most",
    width: "19em",
    grows: true,
    show: cell(({ snippet }) => <Snippet snippet={snippet} />),
    text: text(({ snippet }) => snippet && `${snippet.before}${snippet.token}${snippet.after}`),
  };
  const numbers: ColumnOf<number>[] = [
    {
      key: "lifespan",
      title: "layers",
      hint: "layers from its track's first to its last",
      show: cell(({ lifespan }) => count(lifespan)),
      text: text(({ lifespan }) => lifespan),
      width: "5em",
    },
    {
      key: "shared",
      title: "shared with",
      hint: "how many other SAEs have it too",
      show: (row: number) => <SharedWith run={run} explorer={explorer} items={items} row={row} />,
      text: async (row: number) =>
        (await explorer.column("shared_with"))[(await items.at(row)).node],
      width: "7.5em",
    },
    {
      key: "frequency",
      title: "tokens",
      hint: "share of tokens on which it fires",
      show: cell(({ frequency }) => percent(frequency)),
      text: text(({ frequency }) => frequency),
      width: "5.5em",
    },
    {
      key: "score",
      title: "score",
      hint: "of its target in the next SAE",
      show: cell(({ score }) => figure(score)),
      text: text(({ score }) => score),
      width: "5.5em",
    },
    {
      key: "p",
      title: "p-value",
      hint: "of that score",
      show: cell(({ p }) => pValue(p)),
      text: text(({ p }) => p),
      width: "6em",
    },
  ].map((column) => ({ ...column, numeric: true, sorts: true }));
  const [lifespan, shared, frequency, score, p] = numbers;
  const shares = explorer.index.tables.shared ? [shared] : [];
  if (query.tracks) return [label, lifeline, lifespan, ...shares, frequency, context, feature];
  const lives = explorer.index.mode === null ? [] : [lifespan];
  const links = run.compared ? [] : [score, p];
  return [feature, { ...label, width: "13em" }, ...lives, ...shares, frequency, ...links];
}

/** How many other SAEs share a feature. */
function SharedWith(props: { run: Run; explorer: Explorer; items: Items; row: number }) {
  const { run, explorer, items, row } = props;
  const its = useLoaded(
    async () => (await explorer.column("shared_with"))[(await items.at(row)).node],
    [items, row],
  );
  if (its.status === "error") return <span title={its.error.message}>not read</span>;
  if (its.status === "loading") return <span aria-busy={true} />;
  return <>{Number.isNaN(its.value) ? "–" : `${its.value} of ${run.names.length - 1}`}</>;
}

function Snippet({ snippet }: { snippet: Item["snippet"] }) {
  if (!snippet) return <>–</>;
  const [, space, token, rest] = /^(\s*)(.*?)(\s*)$/su.exec(snippet.token) ?? [];
  const [before, after] = token ? [space, rest] : ["", ""];
  return (
    <span class="snippet" dir="auto">
      <span class="snippet-before">
        <bdi>{visible(shortened(snippet.before, AROUND, "end"))}</bdi>
      </span>
      <span>{visible(before)}</span>
      <mark>{visible(shortened(token || snippet.token, AROUND, "beginning"))}</mark>
      <span class="snippet-after">
        {visible(after + shortened(snippet.after, AROUND, "beginning"))}
      </span>
    </span>
  );
}

function Cell({ items, row, show }: { items: Items; row: number; show: Shown }) {
  const its = useLoaded(() => items.at(row), [items, row]);
  if (its.status === "ready") return <>{show(its.value)}</>;
  if (its.status === "loading") return <span aria-busy={true} />;
  return <span title={its.error.message}>not read</span>;
}
