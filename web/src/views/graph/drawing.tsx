import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Life } from "../../data/explorer";
import type { Marks } from "../../data/marks";
import { better, type Link } from "../../data/neighbourhood";
import type { Run } from "../../data/run";
import { LANES, opacityOf } from "../../draw/colours";
import { figure, percent, pValue } from "../../draw/format";
import { cutTo, type Type, widthOf } from "../../draw/measured";
import { level } from "../../draw/path";
import { useTooltip } from "../../draw/tooltip";
import { headsOf, seen } from "./heads";
import { layered } from "./layout";

const ROW = 34;
const [LEFT, BOTTOM] = [14, 14];
const LEAST = 96; // pixels of a column
const MOST_WIDE = 280;
const NAME: Type = { size: 0.833 };
/** Edges drawn. */
export const MOST = 420;

export interface DrawingProps {
  run: Run;
  nodes: readonly Life[];
  links: readonly Link[];
  marks: Marks;
  centre: number | null;
  chosen: readonly number[];
  width: number;
  /** Chooses a feature; `more` adds it to those chosen or takes it out. */
  onChoose: (node: number, more: boolean) => void;
  onOpen: (node: number) => void;
  onPin: (node: number) => void;
}

/** Features from left to right by SAE, joined by edges; groups lie in lanes of their own. */
export function Drawing(props: DrawingProps) {
  const { run, nodes, marks, centre, chosen } = props;
  const [pointed, setPointed] = useState<number | null>(null);
  const tip = useTooltip();
  const elements = useRef(new Map<number, SVGGElement>());
  const scroll = useRef<HTMLDivElement>(null);
  // the one feature that Tab reaches: where the keyboard was last, else the first
  const [visited, visit] = useState<number | null>(null);
  const links = useMemo(
    () => [...props.links].sort(better).slice(0, MOST).reverse(),
    [props.links],
  );
  const layout = useMemo(
    () => layered(nodes, links, run.names, marks.groups),
    [nodes, links, run, marks.groups],
  );
  const TOP = layout.lanes[0]?.name ? 72 : 48; // a group has its name above
  const room = (props.width - 2 * LEFT) / Math.max(1, layout.sites.length);
  const step = Math.max(LEAST, Math.min(MOST_WIDE, room));
  const width = 2 * LEFT + step * layout.sites.length;
  const height = TOP + layout.rows * ROW + BOTTOM;
  const x = (node: number) => LEFT + 8 + (layout.placed.get(node)?.column ?? 0) * step;
  const y = (node: number) => TOP + ((layout.placed.get(node)?.row ?? 0) + 0.5) * ROW;
  useLayoutEffect(() => {
    const box = scroll.current;
    if (!box || centre === null || !layout.placed.has(centre)) return;
    box.scrollLeft = x(centre) - box.clientWidth / 2;
    box.scrollTop = y(centre) - box.clientHeight / 2;
  }, [centre, layout]);
  // the name of a group stands where its first feature is, so that scrolling does not hide it
  const laneStart = (lane: { first: number; rows: number }) => {
    const within = [...layout.placed.values()].filter(
      ({ row }) => row >= lane.first && row < lane.first + lane.rows,
    );
    return Math.max(8, LEFT + Math.min(...within.map(({ column }) => column)) * step - 2);
  };
  const near = useMemo(() => {
    if (pointed === null) return null;
    const found = new Set([pointed]);
    for (const link of links) {
      if (link.source === pointed) found.add(link.target);
      if (link.target === pointed) found.add(link.source);
    }
    return found;
  }, [pointed, links]);
  const nameOf = (life: Life) => marks.names.get(life.node) ?? life.label ?? `${life.feature}`;
  const texts = useMemo(
    () => new Map(nodes.map((life) => [life.node, cutTo(seen(nameOf(life)), step - 16, NAME)])),
    [nodes, marks.names, step],
  );
  const heads = useMemo(() => headsOf(run, layout.sites, step), [run, layout.sites, step]);
  const move = (event: KeyboardEvent, life: Life) => {
    const to = target(event.key, life, links, layout.placed, nodes);
    if (to !== null) {
      event.preventDefault();
      elements.current.get(to)?.focus();
    } else if (event.key === "Enter") {
      event.preventDefault();
      props.onOpen(life.node);
    } else if (event.key === " ") {
      event.preventDefault();
      props.onChoose(life.node, true);
    } else if (event.key === "p") {
      props.onPin(life.node);
    }
  };
  const has = (node: number | null) => nodes.some((life) => life.node === node);
  const entry = [visited, chosen[chosen.length - 1] ?? null, centre].find(has) ?? nodes[0]?.node;
  return (
    <div
      class="graph-scroll scrolls"
      ref={scroll}
      onScroll={(event) => {
        // the names of SAEs stay above their columns
        const box = event.currentTarget;
        box.style.setProperty("--down", `${box.scrollTop}px`);
      }}
    >
      <svg
        class="graph-svg"
        width={width}
        height={height}
        role="group"
        aria-label={`${nodes.length} features in ${layout.sites.length} layers, ${props.links.length} edges. Arrow keys walk, space chooses, p pins, Enter opens.`}
        data-testid="graph"
      >
        {layout.sites.map((site, column) => (
          <line
            key={site}
            class="guide"
            x1={LEFT + 8 + column * step}
            x2={LEFT + 8 + column * step}
            y1={TOP - 8}
            y2={height - 4}
          />
        ))}
        {layout.lanes.map(
          (lane) =>
            lane.name !== null && (
              <g key={lane.name} class="graph-lane">
                <rect
                  x={2}
                  width={width - 4}
                  y={TOP + lane.first * ROW - 8}
                  height={lane.rows * ROW + 12}
                  rx={8}
                />
                <text x={laneStart(lane)} y={TOP + lane.first * ROW - 14}>
                  {cutTo(lane.name, step * 2, { size: 0.867, weight: 600 })}
                </text>
              </g>
            ),
        )}
        <g class="graph-links">
          {links.map((link) => {
            const own = pointed !== null && (link.source === pointed || link.target === pointed);
            return (
              <path
                key={`${link.source} ${link.target}`}
                class={classOf(link, layout.placed)}
                d={level(x(link.source), y(link.source), x(link.target), y(link.target))}
                opacity={pointed === null ? opacityOf(link.score) : own ? 1 : 0.08}
              />
            );
          })}
        </g>
        {nodes.map((life) => {
          const pin = marks.pins.includes(life.node);
          const classes = ["graph-node", `lane-${run.lane(life.site)}`];
          if (life.node === centre) classes.push("centre");
          if (chosen.includes(life.node)) classes.push("chosen");
          if (near && !near.has(life.node)) classes.push("far");
          const tipped = tip.on(() => <Facts life={life} name={nameOf(life)} />);
          return (
            <g
              key={life.node}
              ref={(element) => {
                if (element) elements.current.set(life.node, element);
                else elements.current.delete(life.node);
              }}
              class={classes.join(" ")}
              style={{ "--node": LANES[run.lane(life.site)] }}
              tabindex={life.node === entry ? 0 : -1}
              role="button"
              aria-pressed={chosen.includes(life.node)}
              aria-label={`${life.site} ${life.feature}, ${nameOf(life)}${pin ? ", pinned" : ""}`}
              data-testid="graph-node"
              transform={`translate(${x(life.node)},${y(life.node)})`}
              onClick={(event) =>
                props.onChoose(life.node, event.shiftKey || event.ctrlKey || event.metaKey)
              }
              onDblClick={() => props.onOpen(life.node)}
              onKeyDown={(event) => move(event, life)}
              onPointerEnter={(event) => {
                setPointed(life.node);
                tipped.onPointerEnter(event);
              }}
              onPointerLeave={() => {
                setPointed(null);
                tipped.onPointerLeave();
              }}
              onFocus={(event) => {
                setPointed(life.node);
                visit(life.node);
                tipped.onFocus(event);
              }}
              onBlur={() => {
                setPointed(null);
                tipped.onBlur();
              }}
            >
              <rect
                class="hit"
                x={-11}
                y={-21}
                width={Math.max(24, 16 + widthOf(texts.get(life.node) ?? "", NAME))}
                height={ROW - 2}
                rx={6}
              />
              <circle r={life.node === centre ? 6.5 : 4.5} />
              {pin && <circle class="pin" r={life.node === centre ? 10 : 8} />}
            </g>
          );
        })}
        {/* above all lines, and apart from the marks, which say in words what these cut short */}
        <g class="graph-texts" aria-hidden="true">
          {nodes.map((life) => {
            const text = texts.get(life.node) ?? "";
            const up = life.node === centre ? 11 : 8;
            return (
              <g
                key={life.node}
                class={near && !near.has(life.node) ? "far" : life.node === centre ? "centre" : ""}
                transform={`translate(${x(life.node) - 5},${y(life.node) - up})`}
              >
                <rect x={-2} y={-11} width={widthOf(text, NAME) + 4} height={14} rx={3} />
                <text>{text}</text>
              </g>
            );
          })}
        </g>
        <g class="graph-heads" aria-hidden="true">
          <rect width={width} height={28} />
          {layout.sites.map((site, column) => (
            <text
              key={site}
              x={LEFT + 2 + column * step}
              y={18}
              style={{ fill: LANES[run.lane(site)] }}
            >
              {heads[column]}
              <title>{site}</title>
            </text>
          ))}
        </g>
      </svg>
      {tip.view}
    </div>
  );
}

/** Matches stand out, those from one column to the next the most. */
function classOf(link: Link, placed: ReadonlyMap<number, { column: number }>): string | undefined {
  if (link.kind !== "match") return undefined;
  const columns = (placed.get(link.target)?.column ?? 0) - (placed.get(link.source)?.column ?? 0);
  return columns > 1 ? "match over" : "match";
}

function Facts({ life, name }: { life: Life; name: string }) {
  return (
    <>
      <p class="tip-title">
        <bdi class="site">{life.site}</bdi> {life.feature}
      </p>
      <p class="tip-label">
        <bdi>{name}</bdi>
      </p>
      <dl class="tip-facts">
        <dt>fires on</dt>
        <dd>{percent(life.frequency)}</dd>
        <dt>score of its link</dt>
        <dd>{figure(life.score)}</dd>
        <dt>p</dt>
        <dd>{pValue(life.p)}</dd>
      </dl>
    </>
  );
}

/** Where an arrow key leads: up and down in a column, left and right along the best edge. */
function target(
  key: string,
  life: Life,
  links: readonly Link[],
  placed: ReadonlyMap<number, { column: number; row: number }>,
  nodes: readonly Life[],
): number | null {
  if (key === "ArrowRight" || key === "ArrowLeft") {
    // the best come last, so that they are drawn above
    const best = [...links]
      .reverse()
      .find((link) => (key === "ArrowRight" ? link.source : link.target) === life.node);
    if (!best) return null;
    return key === "ArrowRight" ? best.target : best.source;
  }
  if (key !== "ArrowUp" && key !== "ArrowDown") return null;
  const here = placed.get(life.node);
  const sign = key === "ArrowDown" ? 1 : -1;
  let found: [number, number] | null = null;
  for (const { node } of nodes) {
    const at = placed.get(node);
    if (!here || !at || at.column !== here.column) continue;
    const away = sign * (at.row - here.row);
    if (away > 0 && (!found || away < found[1])) found = [node, away];
  }
  return found?.[0] ?? null;
}
