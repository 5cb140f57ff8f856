import { useRef } from "preact/hooks";
import type { SharedPair } from "../../data/compare";
import type { Life } from "../../data/explorer";
import type { Run } from "../../data/run";
import { figure } from "../../draw/format";
import { fitted } from "../../draw/path";
import { useTooltip } from "../../draw/tooltip";
import { useWidth } from "../../parts/use";
import type { Go } from "../../state";
import "./cluster.css";

const COLUMN = 150; // least pixels between two SAEs
const ROW = 108;
const TOP = 40;

interface Point {
  x: number;
  y: number;
}

/** The line between two features, and where its figure stands: between columns, off features. */
function tieOf(from: Point, to: Point, step: number) {
  const apart = Math.round(Math.abs(to.x - from.x) / step);
  const up = apart > 1 ? 16 + 40 * (apart - 1) : 0;
  const ends = [from.x + (to.x - from.x) / 4, to.x - (to.x - from.x) / 4];
  const t = apart % 2 ? 0.5 : 0.25;
  return {
    x: bezier(from.x, ends[0], ends[1], to.x, t),
    y: bezier(from.y, from.y - up, to.y - up, to.y, t),
    path: `M${from.x},${from.y}C${ends[0]},${from.y - up} ${ends[1]},${to.y - up} ${to.x},${to.y}`,
  };
}

function bezier(p: number, q: number, r: number, s: number, t: number): number {
  const u = 1 - t;
  return u * u * u * p + 3 * u * u * t * q + 3 * u * t * t * r + t * t * t * s;
}

/** A cluster: SAEs from left to right, a line for every two features that are shared. */
export function Cluster(props: {
  run: Run;
  life: Life;
  members: readonly Life[];
  pairs: readonly SharedPair[];
  go: Go;
}) {
  const { run, life, members, pairs, go } = props;
  const [ref, seen] = useWidth<HTMLDivElement>();
  const svg = useRef<SVGSVGElement>(null);
  const tip = useTooltip();
  const names = run.names;
  const width = Math.max(seen, names.length * COLUMN);
  const step = Math.min(300, width / names.length);
  const column = new Map(names.map((name, i) => [name, (i + 0.5) * step]));
  const used = new Map<string, number>();
  // lines between SAEs that are not neighbours pass above the first row
  const lift = TOP + 30 * Math.max(0, names.length - 2);
  const marks = members.map((member, i) => {
    const row = used.get(member.site) ?? 0;
    used.set(member.site, row + 1);
    return { life: member, i, x: column.get(member.site) ?? 0, y: lift + row * ROW };
  });
  const rows = Math.max(1, ...used.values());
  const height = lift + (rows - 1) * ROW + 76;
  const at = new Map(marks.map((mark) => [mark.life.node, mark]));
  const ties = pairs.flatMap(({ a, b, cosine }) => {
    const [from, to] = [at.get(a), at.get(b)];
    const own = a === life.node || b === life.node;
    return from && to ? [{ key: `${a} ${b}`, own, cosine, ...tieOf(from, to, step) }] : [];
  });
  const move = (event: KeyboardEvent) => {
    const here = Number((event.target as Element).getAttribute("data-place"));
    const to = {
      ArrowRight: here + 1,
      ArrowDown: here + 1,
      ArrowLeft: here - 1,
      ArrowUp: here - 1,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    svg.current?.querySelector<SVGElement>(`[data-place="${to}"]`)?.focus();
  };
  return (
    <div class="scrolls" ref={ref}>
      {seen > 0 && (
        <svg
          ref={svg}
          class="cluster"
          width={Math.max(seen, step * names.length)}
          height={height}
          role="group"
          aria-label="The features of its cluster: arrow keys move, Enter goes there"
          onKeyDown={move}
          data-testid="cluster"
        >
          <g aria-hidden="true">
            {names.map((name) => (
              <g key={name}>
                <text x={column.get(name)} y={height - 8} text-anchor="middle" class="cluster-sae">
                  {fitted(name, step - 10, 12)}
                </text>
                {!used.has(name) && <circle class="absent" cx={column.get(name)} cy={lift} r="7" />}
              </g>
            ))}
          </g>
          <g aria-hidden="true">
            {ties.map(({ key, own, path }) => (
              <path key={key} class={own ? "tie own" : "tie"} d={path} data-testid="tie" />
            ))}
            {ties.map(
              ({ key, own, x, y, cosine }) =>
                own && (
                  <text key={key} class="tie-cosine" x={x} y={y + 4} text-anchor="middle">
                    {figure(cosine)}
                  </text>
                ),
            )}
          </g>
          {marks.map(({ life: one, i, x, y }) => {
            const chosen = one.node === life.node;
            const open = () => go({ view: "life", site: one.site, feature: one.feature });
            const label = one.label ?? "no label";
            return (
              <g
                key={one.node}
                class={chosen ? "member chosen" : "member"}
                transform={`translate(${x},${y})`}
                role="link"
                tabindex={chosen ? 0 : -1}
                aria-current={chosen ? "true" : undefined}
                aria-label={`${one.feature} ${label}, ${one.site}`}
                data-place={i}
                data-testid="member"
                onClick={open}
                onKeyDown={(event) => {
                  if (event.key === "Enter" || event.key === " ") {
                    event.preventDefault();
                    open();
                  }
                }}
                {...tip.on(() => (
                  <>
                    <p class="tip-title">
                      <bdi class="site">{one.site}</bdi> <b>{one.feature}</b>
                    </p>
                    <p class="tip-label">
                      <bdi>{label}</bdi>
                    </p>
                  </>
                ))}
              >
                <circle class="halo" r="16" />
                <circle class="dot" r={chosen ? 9 : 7} />
                <text y={25} text-anchor="middle" class="member-number" aria-hidden="true">
                  {one.feature}
                </text>{" "}
                <text y={41} text-anchor="middle" class="member-label" aria-hidden="true">
                  {fitted(one.label ?? "–", step - 16, 13)}
                </text>
              </g>
            );
          })}
        </svg>
      )}
      {tip.view}
    </div>
  );
}
