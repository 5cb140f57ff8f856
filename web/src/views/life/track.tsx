import { useLayoutEffect, useRef } from "preact/hooks";
import type { Explorer, Life } from "../../data/explorer";
import type { Run } from "../../data/run";
import { LANE_NAMES, LANES } from "../../draw/colours";
import { figure, pValue } from "../../draw/format";
import { fitted, level } from "../../draw/path";
import { useTooltip } from "../../draw/tooltip";
import { type Layout, type LinkMark, ROOM, type SideMark } from "./layout";
import { strengthOf } from "./strength";
import { OfSide, OfTrack } from "./tips";
import "./track.css";

/** Goes to a feature; with `replace`, back does not return to the one before. */
export type Walk = (site: string, feature: number, options?: { replace?: boolean }) => void;

/** The track as a line over the layers, what lies beside it, and what modules write into it. */
export function Track(props: {
  run: Run;
  explorer: Explorer;
  layout: Layout;
  focus: number;
  labels: ReadonlyMap<number, string | null>;
  partners: ReadonlySet<number>;
  walk: Walk;
}) {
  const { run, explorer, layout, focus, labels, partners, walk } = props;
  const tip = useTooltip();
  const strength = strengthOf(run);
  const svg = useRef<SVGSVGElement>(null);
  const walked = useRef(false);
  const spacing =
    layout.columns.length > 1 ? layout.columns[1].x - layout.columns[0].x : layout.width;

  useLayoutEffect(() => {
    // the keyboard's focus goes along with the walk, but is not taken from elsewhere
    if (!walked.current) return;
    walked.current = false;
    svg.current?.querySelector<SVGElement>(`[data-node="${focus}"]`)?.focus();
  }, [focus]);

  const onKeyDown = (event: KeyboardEvent) => {
    const target = event.target as Element;
    const here = Number(target.getAttribute("data-node"));
    if (!target.hasAttribute("data-node")) return;
    const place = layout.track.findIndex((mark) => mark.life.node === here);
    const to = {
      ArrowRight: place + 1,
      ArrowLeft: place - 1,
      Home: 0,
      End: layout.track.length - 1,
    }[event.key];
    if (to !== undefined && place >= 0) {
      event.preventDefault();
      const mark = layout.track[to];
      if (!mark) return;
      walked.current = true;
      tip.hide();
      // steps along a track leave no trail in the history
      walk(mark.life.site, mark.life.feature, { replace: true });
    } else if (event.key === "ArrowUp" || event.key === "ArrowDown") {
      event.preventDefault();
      const x = Number(target.getAttribute("data-x"));
      const stack = [...layout.sides, ...layout.track.map((m) => ({ ...m, node: m.life.node }))]
        .filter((mark) => Math.abs(mark.x - x) < spacing / 2)
        .sort((p, q) => p.y - q.y || p.x - q.x);
      const at = stack.findIndex((mark) => mark.node === here);
      const next = stack[at + (event.key === "ArrowUp" ? -1 : 1)];
      if (next) svg.current?.querySelector<SVGElement>(`[data-node="${next.node}"]`)?.focus();
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      const { site, feature } = explorer.feature(here);
      walked.current = true;
      tip.hide();
      walk(site, feature);
    }
  };

  return (
    <div class="track">
      <svg
        ref={svg}
        width={layout.width}
        height={layout.height}
        role="group"
        aria-label="The track: left and right walk along it, up and down reach what lies beside it, Enter goes there"
        onKeyDown={onKeyDown}
      >
        <Guides run={run} layout={layout} spacing={spacing} focus={focus} />
        <g fill="none">
          {layout.links.map((link) => (
            <Link key={`${link.a} ${link.b}`} link={link} strength={strength} layout={layout} />
          ))}
        </g>
        {layout.sides.map((side) => (
          <Side
            key={side.node}
            side={side}
            label={labels.get(side.node) ?? null}
            room={Math.min(spacing, (layout.width - side.x) / 0.62 - 16)}
            partner={partners.has(side.node)}
            opacity={strength(side.edge.score, side.edge.cosine)}
            walk={walk}
            tip={tip}
          />
        ))}
        {layout.track.map(({ life, x, y }) => {
          const chosen = life.node === focus;
          return (
            <g
              key={life.node}
              class={chosen ? "node chosen" : "node"}
              transform={`translate(${x},${y})`}
              tabIndex={chosen ? 0 : -1}
              role="link"
              aria-current={chosen ? "true" : undefined}
              aria-label={`${life.site} ${life.feature}, ${life.label ?? "no label"}${
                Number.isNaN(life.score) ? "" : `, score ${figure(life.score)}, p ${pValue(life.p)}`
              }`}
              data-node={life.node}
              data-x={x}
              data-testid="track-node"
              onClick={() => walk(life.site, life.feature)}
              {...tip.on(() => <OfTrack life={life} />)}
            >
              <circle class="halo" r="17" />
              <circle class="dot" r={chosen ? 9 : 7} />
              {(chosen || spacing > 76) && (
                <NodeText life={life} room={chosen ? Math.max(spacing, 170) : spacing} />
              )}
            </g>
          );
        })}
      </svg>
      {tip.view}
    </div>
  );
}

function NodeText({ life, room }: { life: Life; room: number }) {
  return (
    <g class="node-text" aria-hidden="true">
      <text y={-16} text-anchor="middle" class="node-label">
        {fitted(life.label ?? "–", Math.min(room, 220) - 16, 14)}
      </text>
      <text y={25} text-anchor="middle" class="node-number">
        {life.feature}
      </text>
    </g>
  );
}

function Guides(props: { run: Run; layout: Layout; spacing: number; focus: number }) {
  const { run, layout, spacing, focus } = props;
  const [top, bottom] = [14, layout.height - 22];
  const every = Math.ceil(30 / Math.max(1, spacing));
  const here = layout.track.find((mark) => mark.life.node === focus);
  return (
    <g aria-hidden="true">
      {layout.columns.map(({ site, x }, i) => (
        <g key={site}>
          <line class="guide" x1={x} x2={x} y1={top} y2={bottom} />
          {(i % every === 0 || site === here?.life.site) && (
            <text
              class={site === here?.life.site ? "axis here" : "axis"}
              x={x}
              y={layout.height - 5}
              text-anchor="middle"
            >
              {run.short(site)}
            </text>
          )}
        </g>
      ))}
      {layout.lanes.map(({ lane, y }) => (
        <g key={lane}>
          <line
            class={lane === "stream" ? "lane stream" : "lane"}
            x1={100}
            x2={layout.width - 16}
            y1={y}
            y2={y}
          />
          <text class="lane-name" x={0} y={y + 4} style={{ color: LANES[lane] }}>
            {LANE_NAMES[lane].replace("residual ", "")}
          </text>
        </g>
      ))}
      <text class="aside" x={0} y={layout.middle - 66}>
        also near the
      </text>
      <text class="aside" x={0} y={layout.middle - 51}>
        one before
      </text>
      <text class="aside" x={0} y={layout.middle + 62}>
        also lead to
      </text>
      <text class="aside" x={0} y={layout.middle + 77}>
        the next
      </text>
      <text class="aside" x={0} y={layout.height - 5}>
        layer
      </text>
    </g>
  );
}

function Link(props: {
  link: LinkMark;
  strength: (score: number, cosine: number) => number;
  layout: Layout;
}) {
  const { link, strength } = props;
  const opacity = strength(link.score, link.cosine);
  const [x0, y0] = link.from;
  const [x1, y1] = link.to;
  if (link.kind === "track") {
    if (!link.skips)
      return <path class="link" d={`M${x0},${y0}L${x1},${y1}`} stroke-opacity={opacity} />;
    // what a track passes over is seen: the line leaves the row of features for it
    const lift = 30;
    const d = `M${x0},${y0}C${x0 + 26},${y0 + lift} ${x1 - 26},${y1 + lift} ${x1},${y1}`;
    return <path class="link skipping" d={d} stroke-opacity={opacity} />;
  }
  return (
    <path
      class={`side-link ${link.kind}${link.matched ? " matched" : ""}`}
      d={level(x0, y0, x1, y1)}
      stroke-opacity={0.9 * opacity}
    />
  );
}

function Side(props: {
  side: SideMark;
  label: string | null;
  room: number;
  partner: boolean;
  opacity: number;
  walk: Walk;
  tip: ReturnType<typeof useTooltip>;
}) {
  const { side, label, room, partner, opacity, walk, tip } = props;
  const { edge } = side;
  const said = partner ? (side.kind === "source" ? "merges with it" : "splits off") : side.kind;
  const wide = side.kind !== "writer" && room > ROOM;
  return (
    <g
      class={`side ${side.kind}${partner ? " partner" : ""}`}
      transform={`translate(${side.x},${side.y})`}
      tabIndex={-1}
      role="link"
      aria-label={`${side.site} ${side.feature}, ${label ?? "no label"}, ${said}, score ${figure(edge.score)}`}
      data-node={side.node}
      data-x={side.x}
      data-testid="side-node"
      style={{ "--colour": LANES[side.lane] }}
      onClick={() => walk(side.site, side.feature)}
      {...tip.on(() => <OfSide side={side} label={label} partner={partner} />)}
    >
      <circle class="halo" r="12" />
      <circle class="dot" r={partner ? 5.5 : 4.5} fill-opacity={opacity} stroke-opacity={opacity} />
      {wide && (
        <text class="side-label" x={9} y={4} opacity={0.7 + 0.3 * opacity}>
          {fitted(label ?? String(side.feature), room * 0.62, 11.5)}
        </text>
      )}
    </g>
  );
}
