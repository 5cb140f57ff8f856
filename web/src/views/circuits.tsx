import { useMemo } from "preact/hooks";
import {
  type About,
  type Circuit,
  circuitsOf,
  loadCircuit,
  type Mark,
  type Picture,
  pictureOf,
  predicted,
  strongestPath,
} from "../data/circuits";
import { visible } from "../data/tokens";
import { percent, several } from "../draw/format";
import type { Key } from "../draw/picture";
import { Figure } from "../parts/figure";
import { Empty, Failure, Loading } from "../parts/notices";
import { Segments } from "../parts/segments";
import { latest, useLoaded, useWidth } from "../parts/use";
import { Drawing } from "./circuits/drawing";
import { Edges } from "./circuits/edges";
import { MarkLine } from "./circuits/line";
import { Panel } from "./circuits/panel";
import { Sentence } from "./circuits/sentence";
import { Threshold } from "./circuits/threshold";
import type { ViewProps } from "./view";
import "./circuits.css";

const AMOUNTS = [8, 16, 32, 64, 128];
const USUAL = 16; // features that are drawn, supernodes as one
const EDGES = 50; // edges that are drawn
const LOGITS = 5;

const KEY: Key[] = [
  { color: "var(--accent)", text: "raises", kind: "line" },
  { color: "var(--attn)", text: "lowers", kind: "line" },
  { color: "var(--accent)", text: "from errors", kind: "dash" },
  { color: "var(--ink)", text: "a feature", kind: "dot" },
  { color: "var(--ink)", text: "dots in one frame: a track over layers", kind: "ring" },
  { color: "var(--quiet)", text: "diamond: what an SAE leaves out, its error", kind: "ring" },
];

/** Which features made the model say what it said next, and by what effects on each other. */
export function Circuits(props: ViewProps) {
  const { data, state } = props;
  const circuits = circuitsOf(data);
  const about = circuits.find(({ slug }) => slug === state.circuit) ?? circuits[0];
  const loaded = useLoaded(() => (about ? loadCircuit(data, about) : never()), [about?.slug]);
  if (!about) {
    return (
      <div data-testid="view-circuits">
        <Empty title="This run has no circuits">
          <code>saematch circuit RUN --model NAME --prompt "..."</code> measures which features lead
          to the token that a model says next, and writes that to the run. Then reload this page.
        </Empty>
      </div>
    );
  }
  if (loaded.status === "error") return <Failure error={loaded.error} />;
  const circuit = latest(loaded);
  if (!circuit) return <Loading what="the circuit" />;
  return <Shown {...props} circuits={circuits} circuit={circuit} />;
}

function Shown(props: ViewProps & { circuits: About[]; circuit: Circuit }) {
  const { run, state, go, circuits, circuit } = props;
  const { about } = circuit;
  const [box, width] = useWidth<HTMLDivElement>();
  const grouped = circuit.nodes.some((node) => !Number.isNaN(node.group));
  const together = grouped && state.more.by !== "feature";
  const picture = useMemo(() => pictureOf(circuit, together), [circuit, together]);
  const next = useMemo(() => predicted(circuit.nodes), [circuit]);
  const path = useMemo(
    () => (next ? strongestPath(circuit, picture, next) : { marks: [], share: 0 }),
    [circuit, picture, next],
  );
  const asked = Number(state.more.features ?? USUAL);
  const amount = AMOUNTS.includes(asked) ? asked : USUAL;
  const chosen = markOf(picture, state.more.node);
  const { marks, left } = useMemo(
    () => strongest(picture, amount, path.marks, chosen),
    [picture, amount, path, chosen],
  );
  const edges = useMemo(() => {
    const there = new Set(marks);
    return picture.edges.filter((edge) => there.has(edge.source) && there.has(edge.target));
  }, [picture, marks]);
  const drawn =
    marks
      .flatMap((mark) => (mark.kind === "feature" ? mark.nodes : []))
      .reduce((sum, node) => sum + (node.influence || 0), 0) / (about.influence_before || NaN);
  const usual = edges[Math.min(EDGES, edges.length) - 1]?.weight ?? 0;
  const told = Number(state.more.cut ?? NaN) / 100;
  const cut = Number.isNaN(told) ? usual : told;
  const choose = (mark: Mark | null) => go({ more: { node: mark?.key ?? null } });
  return (
    <div class="circuits-view" data-testid="view-circuits">
      <header>
        <p class="eyebrow">
          Circuit of <bdi>{about.model}</bdi>
          {about.attention === "frozen" && ", attention as it was on this prompt"}
        </p>
        <h1>
          “<bdi>{visible(about.prompt)}</bdi>”
          {next && (
            <span class="circuit-next">
              {" "}
              → <bdi>{next.token}</bdi> <small>{percent(next.probability)}</small>
            </span>
          )}
        </h1>
        <Sentence {...props} picture={picture} path={path} onChoose={choose} />
        <div class="circuit-controls">
          {circuits.length > 1 && (
            <label>
              Prompt{" "}
              <select
                value={about.slug}
                data-testid="circuit-choice"
                onChange={(event) =>
                  go({ circuit: event.currentTarget.value, more: { node: null, cut: null } })
                }
              >
                {circuits.map((one) => (
                  <option key={one.slug} value={one.slug}>
                    {visible(one.prompt)}
                  </option>
                ))}
              </select>
            </label>
          )}
          {grouped && (
            <Segments
              label="Tracks"
              value={together ? "track" : "feature"}
              choices={[
                { value: "track", text: "tracks as one" },
                { value: "feature", text: "every feature" },
              ]}
              onChange={(by) => go({ more: { by: by === "track" ? null : by, cut: null } })}
            />
          )}
          <label>
            Show{" "}
            <select
              value={amount}
              data-testid="circuit-amount"
              onChange={(event) => go({ more: { features: event.currentTarget.value, cut: null } })}
            >
              {AMOUNTS.map((one) => (
                <option key={one} value={one}>
                  the {one} strongest features
                </option>
              ))}
            </select>
          </label>
          <Threshold
            edges={edges}
            cut={cut}
            onChange={(weight) =>
              go({ more: { cut: Number((100 * weight).toPrecision(3)) } }, { replace: true })
            }
          />
        </div>
      </header>
      <div class="circuit-body">
        <div class="circuit-main" ref={box}>
          <Figure
            name={`circuit-${about.slug}`}
            title={`What leads to the next token of “${visible(about.prompt)}”`}
            legend={KEY}
            level={0}
          >
            {width > 0 && (
              <Drawing
                run={run}
                about={about}
                marks={marks}
                edges={edges}
                cut={cut}
                chosen={chosen}
                path={path.marks}
                width={width}
                onChoose={choose}
              />
            )}
          </Figure>
          <p class="aside">Wider edges, larger dots: more of the influence on the next token.</p>
          {left > 0 && (
            <p class="aside" data-testid="circuit-left">
              {!Number.isNaN(drawn) &&
                `The features drawn have ${percent(drawn)} of all influence. `}
              {several(left, "other node")} of the circuit {left === 1 ? "is" : "are"} not drawn,
              nor what passes through {left === 1 ? "it" : "them"}.
            </p>
          )}
        </div>
        <aside class="circuit-side">
          {chosen ? (
            <Panel {...props} about={about} edges={picture.edges} mark={chosen} onChoose={choose} />
          ) : (
            <Strongest {...props} picture={picture} onChoose={choose} />
          )}
        </aside>
      </div>
      <Edges run={run} edges={edges} tokens={about.tokens} onChoose={choose} />
    </div>
  );
}

/** The strongest features, where none is chosen yet. */
function Strongest(
  props: ViewProps & { circuit: Circuit; picture: Picture; onChoose: (mark: Mark) => void },
) {
  const { run, state, circuit, picture, onChoose } = props;
  const order = picture.marks
    .filter((mark) => mark.kind === "feature")
    .sort((x, y) => y.influence - x.influence)
    .slice(0, 12);
  const most = order[0]?.influence ?? 1;
  return (
    <section class="circuit-chosen" aria-label="The most influential features">
      <h2>Most influential</h2>
      <p class="aside">
        Choose a node, here or in the picture: what makes it and what it makes stands out.
      </p>
      <div class="circuit-lines">
        <ol>
          {order.map((mark) => (
            <MarkLine
              key={mark.key}
              run={run}
              state={state}
              mark={mark}
              token={circuit.about.tokens[mark.position] ?? ""}
              share={mark.influence}
              most={most}
              onChoose={onChoose}
            />
          ))}
        </ol>
      </div>
    </section>
  );
}

/** The mark that the URL names, drawn by itself or within another. */
function markOf(picture: Picture, key: string | undefined): Mark | null {
  if (!key) return null;
  const own = picture.marks.find((mark) => mark.key === key);
  if (own) return own;
  const single = /^n(\d+)$/.exec(key);
  if (single) return picture.markOf.get(Number(single[1])) ?? null;
  const [, group, position] = /^g(\d+)-(\d+)$/.exec(key) ?? [];
  const within = (mark: Mark) =>
    mark.position === Number(position) && mark.nodes[0].group === Number(group);
  return picture.marks.filter(within).sort((x, y) => y.influence - x.influence)[0] ?? null;
}

/** Marks that are drawn: tokens, the most influential others, the path and the chosen. */
function strongest(
  picture: Picture,
  amount: number,
  path: readonly Mark[],
  chosen: Mark | null,
): { marks: Mark[]; left: number } {
  const of = (kind: Mark["kind"]) =>
    picture.marks
      .filter((mark) => mark.kind === kind)
      .sort((x, y) => (y.influence || 0) - (x.influence || 0));
  const features = of("feature").slice(0, amount);
  const least = features[features.length - 1]?.influence ?? 0;
  // errors, which nobody can name, never crowd out features
  const errors = of("error").filter((mark) => mark.influence >= least);
  const kept = new Set([...features, ...errors.slice(0, amount), ...path]);
  for (const mark of [...of("token"), ...of("logit").slice(0, LOGITS)]) kept.add(mark);
  if (chosen) kept.add(chosen);
  const places = picture.marks.filter(({ kind }) => kind === "feature" || kind === "error");
  return {
    marks: picture.marks.filter((mark) => kept.has(mark)),
    left: places.filter((mark) => !kept.has(mark)).length,
  };
}

function never(): Promise<Circuit> {
  return new Promise(() => {});
}
