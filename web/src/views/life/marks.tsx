import type { Life } from "../../data/explorer";
import type { Run } from "../../data/run";
import { LANE_NAMES, LANES } from "../../draw/colours";
import { cutTo, type Type, widthOf } from "../../draw/measured";
import { level } from "../../draw/path";
import { linesOf, type Word } from "./labels";
import type { Layout, LinkMark, SideMark, TrackMark } from "./layout";

const LABEL: Type = { size: 0.867, weight: 600 };
const SIDE: Type = { size: 0.767 };
const LINE = 17; // pixels between the lines of a label
const LINES = 2;
const WIDEST = 340; // pixels of a label

/** Lines of the layers, their names, the names of lanes, and what stands above and below. */
export function Guides(props: { run: Run; layout: Layout; focus: number }) {
  const { run, layout, focus } = props;
  const bottom = layout.height - 24;
  const here = layout.track.find((mark) => mark.life.node === focus);
  const has = (kind: SideMark["kind"]) => layout.sides.filter((side) => side.kind === kind);
  const [targets, sources] = [has("target"), has("source")];
  return (
    <g aria-hidden="true">
      {layout.columns.map(({ site, x }) => (
        <g key={site}>
          <line class="guide" x1={x} x2={x} y1={4} y2={bottom} />
          <text
            class={site === here?.life.site ? "axis here" : "axis"}
            x={x}
            y={layout.height - 6}
            text-anchor="middle"
          >
            {cutTo(run.short(site), layout.step - 8, { size: 0.8 })}
          </text>
        </g>
      ))}
      {layout.lanes.map(({ lane, y, name }) => (
        <g key={lane}>
          <line class="lane" x1={8} x2={layout.width - 16} y1={y} y2={y} />
          <text class="lane-name stays" x={0} y={name} style={{ color: LANES[lane] }}>
            {LANE_NAMES[lane]}
          </text>
        </g>
      ))}
      {targets.length > 0 && (
        <text class="aside stays" x={0} y={Math.min(...targets.map(({ y }) => y)) - 14}>
          {layout.chained ? "other targets of the feature before" : "its targets"}
        </text>
      )}
      {sources.length > 0 && (
        <text class="aside stays" x={0} y={Math.max(...sources.map(({ y }) => y)) + 24}>
          {layout.chained ? "other sources of the feature after" : "its sources"}
        </text>
      )}
    </g>
  );
}

export function Link({ link, opacity }: { link: LinkMark; opacity: number }) {
  const [x0, y0] = link.from;
  const [x1, y1] = link.to;
  if (link.kind === "track") {
    if (link.skips <= 0)
      return <path class="link" d={`M${x0},${y0}L${x1},${y1}`} stroke-opacity={opacity} />;
    // what a track passes over is seen: the line leaves the row of features for it
    const d = `M${x0},${y0}C${x0 + 30},${y0 + 34} ${x1 - 30},${y1 + 34} ${x1},${y1}`;
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

/**
 * The text of a feature of the track: its number, and its label, which runs on over the features
 * after it whose label is the same. Words that the label before did not have stand out.
 */
export function NodeText(props: {
  mark: TrackMark;
  words: readonly Word[] | null;
  room: number;
  chosen: boolean;
}) {
  const { mark, words, chosen } = props;
  const room = Math.min(props.room, WIDEST);
  const lines =
    words &&
    linesOf(
      words.length ? words : [{ text: "no label", fresh: false }],
      room,
      LINES,
      (text) => widthOf(text, LABEL),
      (text, width) => cutTo(text, width, LABEL),
    );
  return (
    <g transform={`translate(${mark.x},${mark.y})`}>
      {lines?.map((line, i) => (
        <text key={i} class="node-label" x={-9} y={-18 - LINE * (lines.length - 1 - i)}>
          {line.map((word, j) => (
            <tspan key={j} class={word.fresh ? "fresh" : "kept"}>
              {word.text}
            </tspan>
          ))}
        </text>
      ))}
      <text class={chosen ? "node-number chosen" : "node-number"} y={27} text-anchor="middle">
        {mark.life.feature}
      </text>
    </g>
  );
}

export function SideText(props: { side: SideMark; label: string | null; room: number }) {
  const { side, label, room } = props;
  return (
    <text class="side-label" x={side.x + 11} y={side.y + 4}>
      {cutTo(label ?? String(side.feature), room, SIDE)}
    </text>
  );
}

/** What is read out of a feature: its name and its label, as both are drawn. */
export function spoken(name: Pick<Life, "site" | "feature">, label: string | null | undefined) {
  return `${name.site} ${name.feature}, ${label ?? "no label"}`;
}
