import { useMemo } from "preact/hooks";
import type { Explorer } from "../../data/explorer";
import {
  type Case,
  filtered,
  GRADES,
  type Grade,
  type Group,
  groupOf,
  type Judgements,
  KINDS,
} from "../../data/judging";
import { figure, pValue, several } from "../../draw/format";
import { Segments } from "../../parts/segments";
import { type ColumnOf, Table } from "../../parts/table";
import { useLoaded } from "../../parts/use";
import { type Change, changed, writeHash } from "../../state";
import type { ViewProps } from "../view";

/** Characters of a judge's column: its name has room, up to a point. */
const roomOf = (judge: string) => Math.max(7, Math.min(12, 2.5 + 0.55 * judge.length));

/** Every case that was judged, with what each judge says; each leads to its two features. */
export function List(
  props: ViewProps & { all: Judgements; judge: string; groups: readonly Group[] },
) {
  const { run, state, go, all, judge, groups, explorer } = props;
  const { more } = state;
  const grade = GRADES.find((one) => one === more.grade) ?? null;
  const kind = groups.find((group) => group.key === more.kind)?.key ?? null;
  const pair = more.pair ?? null;
  const descending = more.dir === "down";
  const columns = columnsOf(props);
  const sort = columns.find((column) => column.sorts && column.key === more.sort)?.key ?? null;
  const rows = useMemo(() => {
    const found = filtered(all.cases, { kind, pair, grade, judge });
    if (!sort) return found;
    const order = groups.map((group) => group.key);
    const value = (one: Case): number => {
      if (sort === "kind") return order.indexOf(groupOf(one));
      if (sort === "p") return one.p;
      if (sort === "cosine") return one.cosine;
      return one.verdicts.get(sort.slice("of ".length))?.probability ?? NaN;
    };
    return found
      .map((one) => ({ one, value: value(one) }))
      .sort((x, y) => {
        const unknown = Number(Number.isNaN(x.value)) - Number(Number.isNaN(y.value));
        return unknown || (descending ? y.value - x.value : x.value - y.value) || 0;
      })
      .map(({ one }) => one);
  }, [all, kind, pair, grade, judge, sort, descending]);
  const name = pair?.split("--").map((one) => (run.has(one) ? run.short(one) : one));
  return (
    <section aria-labelledby="judged-cases" class="judged-list">
      <h2 id="judged-cases">All that was judged</h2>
      <div class="judging-choices">
        <select
          class="filter"
          aria-label="Kind"
          value={kind ?? ""}
          data-testid="filter-kind"
          onChange={(event) => go({ more: { kind: event.currentTarget.value, pair: null } })}
        >
          <option value="">matches and all others</option>
          {groups.map((group) => (
            <option key={group.key} value={group.key}>
              {group.title}
            </option>
          ))}
        </select>
        <Segments<Grade | "any">
          label={`Grade by ${judge}`}
          value={grade ?? "any"}
          choices={[
            { value: "any", text: "any grade" },
            ...GRADES.map((value) => ({ value, text: value })),
          ]}
          onChange={(value) => go({ more: { grade: value === "any" ? null : value } })}
        />
        {name && (
          <button type="button" class="button" onClick={() => go({ more: { pair: null } })}>
            {name.join(" → ")} <span aria-hidden="true">×</span>
            <span class="visually-hidden">: show all pairs of layers</span>
          </button>
        )}
        <span class="muted" data-testid="found">
          {several(rows.length, "pair")}
          {grade && <> by {judge}</>}
        </span>
      </div>
      <Table<Case>
        name="judged"
        label="Pairs that were judged"
        columns={columns}
        count={rows.length}
        row={(index) => rows[index]}
        sort={sort}
        descending={descending}
        onSort={(key) =>
          go({ more: { sort: key, dir: sort === key && !descending ? "down" : null } })
        }
        onOpen={(one) => go(beside(one))}
        onNear={(one) => explorer.foresee(explorer.node(one.a, one.featureA))}
        height={560}
        testid="judged-table"
      />
    </section>
  );
}

function columnsOf(props: ViewProps & { all: Judgements; judge: string }): ColumnOf<Case>[] {
  const { run, state, go, all, judge, explorer } = props;
  return [
    {
      key: "features",
      title: "features",
      width: "10.5em",
      hint: "side by side: what they fire on",
      text: (one) => `${one.a} ${one.featureA} → ${one.b} ${one.featureB}`,
      show: (one) => (
        <a
          href={writeHash(changed(state, beside(one)))}
          title={`${one.a} ${one.featureA} → ${one.b} ${one.featureB}`}
          onClick={(event) => {
            event.stopPropagation();
            if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
            event.preventDefault();
            go(beside(one));
          }}
        >
          <End site={run.short(one.a)} feature={one.featureA} />
          {" → "}
          <End site={run.short(one.b)} feature={one.featureB} />
        </a>
      ),
    },
    {
      key: "kind",
      title: "kind",
      sorts: true,
      width: "11.5em",
      show: kindOf,
      text: kindOf,
    },
    ...(["a", "b"] as const).map((end) => ({
      key: `label-${end}`,
      title: end === "a" ? "the one" : "the other",
      hint: "its label, else the commonest tokens of its top contexts",
      width: "10em",
      grows: true,
      show: (one: Case) => <Label explorer={explorer} node={nodeOf(explorer, one, end)} />,
      text: async (one: Case) => {
        const node = nodeOf(explorer, one, end);
        return (await explorer.labels([node])).get(node) ?? null;
      },
    })),
    {
      key: "p",
      title: "p-value",
      numeric: true,
      sorts: true,
      width: "6em",
      show: (one) => pValue(one.p),
      text: (one) => one.p,
    },
    {
      key: "cosine",
      title: "cosine",
      numeric: true,
      sorts: true,
      width: "5.5em",
      hint: "of the decoder vectors",
      show: (one) => figure(one.cosine),
      text: (one) => one.cosine,
    },
    ...all.judges.map((name) => ({
      key: `of ${name}`,
      title: name,
      sorts: true,
      width: `${roomOf(name)}em`,
      hint: name === judge ? "the judge chosen above" : "what this judge says",
      text: (one: Case) => one.verdicts.get(name)?.grade,
      show: (one: Case) => {
        const verdict = one.verdicts.get(name);
        if (!verdict) return "";
        if (!verdict.grade) return <span title={verdict.problem ?? undefined}>–</span>;
        return (
          <span
            class={`grade ${verdict.grade}`}
            title={`probability of “same” ${figure(verdict.probability)}`}
          >
            {verdict.grade}
          </span>
        );
      },
    })),
  ];
}

function kindOf(one: Case): string {
  const name = KINDS[one.kind]?.one ?? one.kind;
  return groupOf(one) === one.kind ? name : `${name}, ${one.steps} steps`;
}

function nodeOf(explorer: Explorer, one: Case, end: "a" | "b"): number {
  return end === "a" ? explorer.node(one.a, one.featureA) : explorer.node(one.b, one.featureB);
}

function End({ site, feature }: { site: string; feature: number }) {
  return (
    <>
      <span class="muted">{site}/</span>
      {feature}
    </>
  );
}

function Label({ explorer, node }: { explorer: Explorer; node: number }) {
  const its = useLoaded(() => explorer.labels([node]), [node]);
  if (its.status === "loading") return <span aria-busy={true} />;
  if (its.status === "error") return <span title={its.error.message}>not read</span>;
  const label = its.value.get(node) ?? null;
  return <bdi title={label ?? undefined}>{label?.slice(0, 300) ?? "–"}</bdi>;
}

/** What the two features fire on, side by side. */
function beside(one: Case): Change {
  const itself = one.a === one.b && one.featureA === one.featureB;
  return {
    view: "life",
    site: one.a,
    feature: one.featureA,
    more: { with: itself ? null : `${one.b}/${one.featureB}` },
  };
}
