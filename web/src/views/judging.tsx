import { useMemo } from "preact/hooks";
import {
  type Case,
  coverageOf,
  GRADES,
  groupsOf,
  type Judgements,
  loadJudgements,
  type Share,
  tallyOf,
} from "../data/judging";
import { count, percent, several } from "../draw/format";
import { Figure } from "../parts/figure";
import { Empty, Failure, Loading } from "../parts/notices";
import { useLoaded } from "../parts/use";
import { Bars, type Row } from "./judging/bars";
import { Curves } from "./judging/curves";
import { List } from "./judging/list";
import type { ViewProps } from "./view";
import "./judging.css";

const COLORS = { same: "var(--accent)", maybe: "var(--maybe)", different: "var(--attn)" };
const KEY = GRADES.map((grade) => ({ color: COLORS[grade], text: grade }));

/** What judges, and people, say of matches and of controls beside them. */
export function Judging(props: ViewProps) {
  const { data } = props;
  const loaded = useLoaded(() => loadJudgements(data), []);
  if (loaded.status === "error") return <Failure error={loaded.error} />;
  if (loaded.status !== "ready") return <Loading what="the judgements" />;
  if (!loaded.value?.judges.length) {
    return (
      <div data-testid="view-judging">
        <Empty title="This run has not been judged">
          <code>saematch judge RUN --activations STORE</code> judges whether its matched features
          mean the same, and writes that to the run. Then reload this page.
        </Empty>
      </div>
    );
  }
  return <Shown {...props} all={loaded.value} />;
}

function Shown(props: ViewProps & { all: Judgements }) {
  const { run, state, go, all } = props;
  const { cases, judges } = all;
  const judge = judges.find((name) => name === state.more.judge) ?? judges[0];
  const groups = useMemo(() => groupsOf(cases), [cases]);
  const matches = groups.find((group) => group.key === "match")?.cases ?? [];
  const pairs = useMemo<Row[]>(() => {
    const found = new Map<string, Case[]>();
    for (const one of matches) {
      const pair = `${one.a}--${one.b}`;
      found.set(pair, [...(found.get(pair) ?? []), one]);
    }
    return [...found].map(([pair, its]) => ({
      key: pair,
      title: `${run.short(its[0].a)} → ${run.short(its[0].b)}`,
      cases: its,
      only: { kind: "match", pair },
    }));
  }, [matches]);
  const others = groups
    .filter((group) => group.key !== "match")
    .map((group) => ({ ...group, only: { kind: group.key, pair: null } }));
  const curves = useMemo(
    () => judges.map((name) => coverageOf(cases, name)).filter((one) => one !== null),
    [cases, judges],
  );
  const paths = useMemo(() => new Set(cases.map((one) => one.path)).size, [cases]);
  const section = run.manifest.judging;
  const notes = Array.isArray(section?.notes) ? (section.notes as string[]) : [];
  const drawn = (section?.options as { draw?: unknown } | undefined)?.draw === "paths";
  const open = (only: Row["only"], grade: string) => {
    go({ more: { kind: only.kind, pair: only.pair, grade } });
    document.getElementById("judged-cases")?.scrollIntoView({ block: "start" });
  };
  return (
    <div class="judging-view" data-testid="view-judging">
      <header>
        <p class="eyebrow">
          Judgements of {count(matches.length)} {matches.length === 1 ? "match" : "matches"}
          {drawn && <> along {several(paths, "path")}</>} and of{" "}
          {count(cases.length - matches.length)} other pairs
        </p>
        <h1>Do matched features mean the same?</h1>
        <Sentence all={all} judge={judge} />
        <label class="judging-choices">
          Judge{" "}
          <select
            class="filter"
            value={judge}
            data-testid="judge"
            onChange={(event) => go({ more: { judge: event.currentTarget.value } })}
          >
            {judges.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        {notes.map((note) => (
          <p key={note} class="aside">
            Note: {note}.
          </p>
        ))}
      </header>
      <div class="judging-plots">
        <Figure name="judged-matches" title={`Matches, graded by ${judge}`} legend={KEY}>
          <Bars
            label="Matches by grade, layer by layer"
            rows={pairs}
            judge={judge}
            onOpen={open}
            testid="bars-pairs"
          />
        </Figure>
        <Figure name="judged-others" title={`Other pairs, graded by ${judge}`} legend={KEY}>
          <Bars
            label="Other pairs by grade"
            rows={others}
            judge={judge}
            onOpen={open}
            testid="bars-others"
          />
        </Figure>
      </div>
      {curves.length > 0 && (
        <section class="judged-curves">
          <Figure
            name="judged-coverage"
            title="The surest matches first"
            legend={[
              { color: "var(--accent)", text: "mean probability of “same” so far", kind: "line" },
              { color: "var(--accent)", text: "its mean over all matches", kind: "dash" },
              ...(curves.length > 1
                ? [{ color: "var(--quiet)", text: "other judges", kind: "line" } as const]
                : []),
            ]}
          >
            <Curves curves={curves} judge={judge} />
          </Figure>
          <p class="aside">
            From left to right more of the matches are taken, those of the smallest p-values first,
            from the tenth on. An order at random would follow the dashed line.
          </p>
        </section>
      )}
      <List {...props} all={all} judge={judge} groups={groups} />
    </div>
  );
}

/** What a judge says of matches, beside what it says where the answer is known. */
function Sentence({ all, judge }: { all: Judgements; judge: string }) {
  const said = [
    ["match", "matches"],
    ["random", "random partners"],
    ["self", "features with themselves, on other text"],
  ].flatMap(([kind, name]) => {
    const tally = tallyOf(
      all.cases.filter((one) => one.kind === kind),
      judge,
    );
    if (!tally.graded) return [];
    const share = all.shares.find((one) => one.kind === kind && one.judge === judge);
    return [{ kind, name, share: tally.same / tally.graded, of: tally.graded, known: share }];
  });
  if (!said.length) {
    return <p class="judging-sentence">{judge} graded none of the matches and controls.</p>;
  }
  return (
    <p class="judging-sentence" data-testid="sentence">
      <bdi>{judge}</bdi> judges{" "}
      {said.map(({ kind, name, share, of, known }, i) => (
        <span key={kind}>
          {i > 0 && (i === said.length - 1 ? " and " : ", ")}
          <b>{percent(share)}</b> of {count(of)} {name}
          {i === 0 && " the same"}
          {i === 0 && known && !Number.isNaN(known.low) && <> ({interval(known)})</>}
        </span>
      ))}
      .
    </p>
  );
}

function interval({ low, high }: Share): string {
  const [from, to] = [low, high].map((share) => Math.round(100 * share));
  return `${from} to ${to}`;
}
