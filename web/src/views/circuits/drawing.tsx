import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { About, Edge, Mark } from "../../data/circuits";
import type { Run } from "../../data/run";
import { figure, percent } from "../../draw/format";
import { useTooltip } from "../../draw/tooltip";
import { bow, radius, thickness } from "./geometry";
import { cut, layersOf, lines, measured, nameOf, rem, tokenText } from "./labels";
import { type Layout, layoutOf } from "./layout";
import { FeatureMark } from "./marks";

export interface DrawingProps {
  run: Run;
  about: About;
  marks: readonly Mark[];
  /** All edges between these marks, the weightiest first. */
  edges: readonly Edge[];
  /** The least weight of an edge that is drawn. */
  cut: number;
  chosen: Mark | null;
  path: readonly Mark[];
  width: number;
  onChoose: (mark: Mark | null) => void;
}

/** A circuit: the prompt from left to right, layers from below to above, the next token on top. */
export function Drawing(props: DrawingProps) {
  const { run, about, marks, edges, chosen, onChoose } = props;
  const size = 0.8 * rem();
  const [pointed, setPointed] = useState<string | null>(null);
  const tip = useTooltip();
  const elements = useRef(new Map<string, SVGGElement>());
  const scroll = useRef<HTMLDivElement>(null);
  const names = useMemo(() => about.sites.map((site) => axisName(run, site)), [about, run]);
  const side = Math.min(110, Math.max(...names.map((name) => measured(name, size)), 40) + 14);
  const layout = useMemo(
    () =>
      layoutOf(marks, edges, {
        label: (mark) => labelWidth(mark, size),
        token: (position) => Math.min(170, measured(tokenText(about.tokens[position]), size, 600)),
        tokens: about.tokens.length,
        sites: about.sites.length,
        width: props.width - side,
      }),
    [marks, edges, about, size, props.width, side],
  );
  useLayoutEffect(() => {
    // the last token, above which the next one is foretold
    if (scroll.current) scroll.current.scrollLeft = scroll.current.scrollWidth;
  }, [about.slug]);
  const drawn = useMemo(() => edges.filter((edge) => edge.weight >= props.cut), [edges, props.cut]);
  const near = useMemo(() => nearOf(edges, chosen), [edges, chosen]);
  const most = Math.max(1e-9, ...marks.map((mark) => (isPlace(mark) ? mark.influence : 0)));
  const heaviest = edges[0]?.weight ?? 1;
  const lit = (edge: Edge) =>
    chosen ? edge.source === chosen || edge.target === chosen : edge.weight >= props.cut;
  const shown = chosen ? [...new Set([...drawn, ...edges.filter(lit)])] : drawn;
  const entry = chosen?.key ?? marks.find((mark) => mark.kind === "logit")?.key ?? marks[0]?.key;
  const move = (event: KeyboardEvent, mark: Mark) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      onChoose(mark === chosen ? null : mark);
      return;
    }
    const to = target(event.key, mark, edges, marks, layout);
    if (!to) return;
    event.preventDefault();
    elements.current.get(to.key)?.focus();
  };
  return (
    <div class="circuit-picture">
      <div class="circuit-axis" style={{ width: `${side}px`, height: `${layout.height}px` }}>
        {layout.rows.map((y, row) => (
          <span key={row} style={{ top: `${y}px` }} title={about.sites[row - 1]}>
            {row === 0
              ? ""
              : row > about.sites.length
                ? "next"
                : cut(names[row - 1], side - 10, size)}
          </span>
        ))}
      </div>
      <div class="circuit-scroll" ref={scroll}>
        <svg
          class={chosen ? "circuit-svg focused" : "circuit-svg"}
          width={layout.width}
          height={layout.height}
          role="group"
          aria-label={`${marks.length} nodes over ${about.tokens.length} tokens, ${drawn.length} edges. Arrow keys walk, Enter chooses, Escape lets go.`}
          data-testid="circuit"
          onClick={(event) => event.target === event.currentTarget && onChoose(null)}
          onKeyDown={(event) => event.key === "Escape" && onChoose(null)}
        >
          <Grid layout={layout} />
          <g class="circuit-edges">
            {[...shown].reverse().map((edge) => {
              const its = lit(edge);
              const under = pointed !== null && touches(edge, pointed) && !chosen;
              const d = bow(edge, layout);
              const tipped = tip.on(() => <EdgeFacts run={run} edge={edge} />);
              return (
                <g
                  key={edge.key}
                  class={`circuit-edge ${edge.share < 0 ? "minus" : "plus"}${its || under ? " lit" : ""}`}
                  data-testid="circuit-edge"
                  onPointerEnter={tipped.onPointerEnter}
                  onPointerLeave={tipped.onPointerLeave}
                >
                  <path
                    d={d}
                    stroke-width={thickness(edge.weight, heaviest)}
                    stroke-opacity={
                      chosen && !its
                        ? 0.05
                        : under
                          ? 1
                          : chosen
                            ? 0.95
                            : 0.3 + 0.6 * Math.sqrt(edge.weight / heaviest)
                    }
                  />
                  <path class="hit" d={d} />
                </g>
              );
            })}
          </g>
          {marks.map((mark) => {
            const cell = layout.cells.get(mark.key);
            if (!cell) return null;
            const classes = ["circuit-node", mark.kind];
            if (mark === chosen) classes.push("chosen");
            if (near && !near.has(mark)) classes.push("far");
            if (!chosen && props.path.includes(mark)) classes.push("on-path");
            const tipped = tip.on(() => <MarkFacts run={run} about={about} mark={mark} />);
            return (
              <g
                key={mark.key}
                ref={(element) => {
                  if (element) elements.current.set(mark.key, element);
                  else elements.current.delete(mark.key);
                }}
                class={classes.join(" ")}
                role="button"
                tabIndex={mark.key === entry ? 0 : -1}
                aria-pressed={mark === chosen}
                aria-label={spoken(run, about, mark)}
                data-testid="circuit-node"
                data-key={mark.key}
                onClick={() => onChoose(mark === chosen ? null : mark)}
                onKeyDown={(event) => move(event, mark)}
                onPointerEnter={(event) => {
                  setPointed(mark.key);
                  tipped.onPointerEnter(event);
                }}
                onPointerLeave={() => {
                  setPointed(null);
                  tipped.onPointerLeave();
                }}
                onFocus={(event) => {
                  setPointed(mark.key);
                  tipped.onFocus(event);
                }}
                onBlur={() => {
                  setPointed(null);
                  tipped.onBlur();
                }}
              >
                <Shape
                  mark={mark}
                  cell={cell}
                  size={size}
                  most={most}
                  rows={layout.rows}
                  width={layout.columns[mark.position]?.width ?? 0}
                />
              </g>
            );
          })}
        </svg>
      </div>
      {tip.view}
    </div>
  );
}

function Grid({ layout }: { layout: Layout }) {
  const [bottom, top] = [layout.rows[0], layout.rows[layout.rows.length - 1]];
  return (
    <g class="circuit-grid">
      {layout.rows.slice(1, -1).map((y) => (
        <line key={y} x1={0} x2={layout.width} y1={y} y2={y} />
      ))}
      {layout.columns.slice(1).map(({ left }) => (
        <line key={left} class="between" x1={left} x2={left} y1={top} y2={bottom + 12} />
      ))}
    </g>
  );
}

function Shape(props: {
  mark: Mark;
  cell: { x: number; bottom: number; top: number; room: number };
  size: number;
  most: number;
  rows: readonly number[];
  width: number;
}) {
  const { mark, cell, size, most, rows } = props;
  const [node] = mark.nodes;
  if (mark.kind === "token") {
    const text = cut(tokenText(node.token), cell.room - 10, size, 600);
    const width = Math.max(26, measured(text, size, 600) + 16);
    return (
      <>
        <rect
          class="chip-box"
          x={cell.x - width / 2}
          y={cell.bottom - 13}
          width={width}
          height={26}
          rx={7}
        />
        <text class="token-text" x={cell.x} y={cell.bottom + 4.5} text-anchor="middle">
          {text}
        </text>
      </>
    );
  }
  if (mark.kind === "error") {
    const r = Math.max(4, radius(mark.influence, most));
    return (
      <>
        <rect class="hit" x={cell.x - 12} y={cell.bottom - 12} width={24} height={24} rx={6} />
        <path
          class="diamond"
          d={`M${cell.x},${cell.bottom - r}l${r},${r}l${-r},${r}l${-r},${-r}Z`}
        />
      </>
    );
  }
  if (mark.kind === "logit") {
    const text = cut(tokenText(node.token), cell.room, size, 650);
    const bar = Math.max(2, Math.min(cell.room, 90) * (node.probability || 0));
    return (
      <>
        <rect
          class="hit"
          x={cell.x - 10}
          y={cell.bottom - 24}
          width={cell.room + 16}
          height={44}
          rx={8}
        />
        <circle r={5} cx={cell.x} cy={cell.bottom} />
        <text class="logit-text" x={cell.x + 11} y={cell.bottom - 3}>
          {text}
        </text>
        <text class="logit-share" x={cell.x + 11} y={cell.bottom + 13}>
          {percent(node.probability)}
        </text>
        <rect
          class="logit-bar"
          x={cell.x + 11}
          y={cell.bottom + 18}
          width={bar}
          height={3}
          rx={1.5}
        />
      </>
    );
  }
  return <FeatureMark mark={mark} cell={cell} size={size} most={most} rows={rows} />;
}

const isPlace = ({ kind }: Mark) => kind === "feature" || kind === "error";
const touches = (edge: Edge, key: string) => edge.source.key === key || edge.target.key === key;

function labelWidth(mark: Mark, size: number): number {
  const name = nameOf(mark);
  if (mark.kind === "logit") return Math.max(44, measured(name, size, 650) + 2);
  if (mark.nodes.length === 1) return measured(name, size) + 2;
  // what it takes in as many lines as it has room for
  const most = Math.max(
    1,
    Math.min(3, mark.nodes[mark.nodes.length - 1].row - mark.nodes[0].row + 1),
  );
  for (const room of [64, 84, 104, 124]) {
    const found = lines(name, room, most, size, 650);
    if (!found.some((line) => line.endsWith("…"))) {
      return Math.max(...found.map((line) => measured(line, size, 650))) + 2;
    }
  }
  return 146;
}

/** The name of an SAE on the axis. */
function axisName(run: Run, site: string): string {
  return run.has(site) ? run.short(site) : site;
}

function nearOf(edges: readonly Edge[], chosen: Mark | null): Set<Mark> | null {
  if (!chosen) return null;
  const found = new Set([chosen]);
  for (const { source, target } of edges) {
    if (source === chosen) found.add(target);
    if (target === chosen) found.add(source);
  }
  return found;
}

/** Where an arrow key leads: up and down along the strongest edge, left and right in a row. */
function target(
  key: string,
  mark: Mark,
  edges: readonly Edge[],
  marks: readonly Mark[],
  layout: Layout,
): Mark | null {
  if (key === "ArrowUp") return edges.find((edge) => edge.source === mark)?.target ?? null;
  if (key === "ArrowDown") return edges.find((edge) => edge.target === mark)?.source ?? null;
  if (key !== "ArrowLeft" && key !== "ArrowRight") return null;
  const { row } = mark.nodes[0];
  const place = (one: Mark) => {
    const cell = layout.cells.get(one.key);
    return cell ? cell.x + cell.bottom / 1e4 : 0;
  };
  const order = marks.filter((one) => one.nodes[0].row === row).sort((x, y) => place(x) - place(y));
  return order[order.indexOf(mark) + (key === "ArrowRight" ? 1 : -1)] ?? null;
}

/** A mark in words. */
function spoken(run: Run, about: About, mark: Mark): string {
  const name = nameOf(mark);
  const token = tokenText(about.tokens[mark.position] ?? "");
  if (mark.kind === "token") return `token ${mark.position}, ${name}`;
  if (mark.kind === "logit") return `next token ${name}, ${percent(mark.nodes[0].probability)}`;
  return `${name}, layer ${layersOf(run, mark)} on ${token}, influence ${percent(mark.influence)}`;
}

function MarkFacts({ run, about, mark }: { run: Run; about: About; mark: Mark }) {
  const [node] = mark.nodes;
  const place = mark.kind === "feature" || mark.kind === "error";
  return (
    <>
      <p class="tip-title">
        {mark.kind === "token" ? (
          `token ${mark.position}`
        ) : mark.kind === "logit" ? (
          "next token"
        ) : (
          <>
            layer {layersOf(run, mark)} on “
            <bdi>{tokenText(about.tokens[mark.position] ?? "")}</bdi>”
          </>
        )}
      </p>
      <p class="tip-label">
        <bdi>{nameOf(mark)}</bdi>
      </p>
      <dl class="tip-facts">
        {mark.kind === "logit" && (
          <>
            <dt>probability</dt>
            <dd>{percent(node.probability)}</dd>
          </>
        )}
        {mark.nodes.length > 1 ? (
          <>
            <dt>features</dt>
            <dd>{mark.nodes.length}</dd>
          </>
        ) : (
          mark.kind === "feature" && (
            <>
              <dt>activation</dt>
              <dd>{figure(node.activation)}</dd>
            </>
          )
        )}
        {(place || mark.kind === "token") && (
          <>
            <dt>influence</dt>
            <dd>{percent(mark.influence)}</dd>
          </>
        )}
      </dl>
    </>
  );
}

function EdgeFacts({ run, edge }: { run: Run; edge: Edge }) {
  const single = edge.source.nodes.length === 1 && edge.target.nodes.length === 1;
  return (
    <>
      <p class="tip-label">
        <bdi>{nameOf(edge.source)}</bdi> → <bdi>{nameOf(edge.target)}</bdi>
      </p>
      <p class="tip-title">
        {[edge.source, edge.target].map((mark) => layersOf(run, mark) || mark.kind).join(" → ")}
      </p>
      <dl class="tip-facts">
        {single && (
          <>
            <dt>effect</dt>
            <dd>{figure(edge.effect)}</dd>
          </>
        )}
        <dt>of what enters the target</dt>
        <dd>{percent(Math.abs(edge.share))}</dd>
        <dt>of all influence</dt>
        <dd>{percent(edge.weight)}</dd>
      </dl>
    </>
  );
}
