import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Explorer } from "../../data/explorer";
import type { Run } from "../../data/run";
import { LANES } from "../../draw/colours";
import { figure, pValue } from "../../draw/format";
import { useTooltip } from "../../draw/tooltip";
import { keyTarget, marksOf } from "./keys";
import { labelledOf } from "./labels";
import { type Layout, RIGHT } from "./layout";
import { Guides, Link, NodeText, SideText, spoken } from "./marks";
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
  // the one mark that Tab reaches: where the keyboard was last, else the feature in focus
  const [visited, visit] = useState<number | null>(null);
  const stop =
    visited !== null && marksOf(layout).some((mark) => mark.node === visited) ? visited : focus;
  const labelled = useMemo(
    () =>
      labelledOf(
        layout.track.map(({ life }) => life),
        focus,
      ),
    [layout, focus],
  );

  useLayoutEffect(() => {
    visit(null);
    // the keyboard's focus goes along with the walk, but is not taken from elsewhere
    if (!walked.current) return;
    walked.current = false;
    svg.current?.querySelector<SVGElement>(`[data-node="${focus}"]`)?.focus();
  }, [focus]);

  const go = (node: number, replace: boolean) => {
    walked.current = true;
    tip.hide();
    const { site, feature } = explorer.feature(node);
    walk(site, feature, { replace });
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const mark = (event.target as Element).closest("[data-node]");
    if (!mark) return;
    const here = Number(mark.getAttribute("data-node"));
    const place = layout.track.findIndex(({ life }) => life.node === here);
    const steps: Record<string, number> = {
      ArrowRight: place + 1,
      ArrowLeft: place - 1,
      Home: 0,
      End: layout.track.length - 1,
    };
    if (place >= 0 && event.key in steps) {
      event.preventDefault();
      const next = layout.track[steps[event.key]];
      // steps along a track leave no trail in the history
      if (next && next.life.node !== here) go(next.life.node, true);
    } else if (event.key.startsWith("Arrow")) {
      event.preventDefault();
      const next = keyTarget(layout, here, event.key);
      if (next === null) return;
      visit(next);
      svg.current?.querySelector<SVGElement>(`[data-node="${next}"]`)?.focus();
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      go(here, false);
    }
  };
  const roomOf = (i: number) => {
    const next = labelled[i + 1];
    const x = (node: number) =>
      layout.track.find(({ life }) => life.node === node)?.x ?? layout.width;
    return (next ? x(next.node) - 4 : layout.width) - x(labelled[i].node) - 6;
  };
  return (
    <>
      <svg
        ref={svg}
        class="track-svg"
        width={layout.width}
        height={layout.height}
        role="group"
        aria-label="The track: left and right walk along it, up and down reach what lies beside it, Enter goes there"
        onKeyDown={onKeyDown}
      >
        <Guides run={run} layout={layout} focus={focus} />
        <g fill="none">
          {layout.links.map((link) => (
            <Link
              key={`${link.kind} ${link.a} ${link.b}`}
              link={link}
              opacity={strength(link.score, link.cosine)}
            />
          ))}
        </g>
        {layout.sides.map((side) => {
          const partner = partners.has(side.node);
          const opacity = strength(side.edge.score, side.edge.cosine);
          const label = labels.get(side.node) ?? null;
          return (
            <g
              key={side.node}
              class={`side ${side.kind}${partner ? " partner" : ""}`}
              transform={`translate(${side.x},${side.y})`}
              tabindex={side.node === stop ? 0 : -1}
              role="link"
              aria-label={`${spoken(side, label)}, ${saidOf(side.kind, partner)}, score ${figure(side.edge.score)}`}
              data-node={side.node}
              data-testid="side-node"
              style={{ "--colour": LANES[side.lane] }}
              onClick={() => walk(side.site, side.feature)}
              {...tip.on(() => <OfSide side={side} label={label} partner={partner} />)}
            >
              <rect class="halo" x={-12} y={-12} width={layout.step - 14} height={24} rx={12} />
              <circle
                class="dot"
                r={partner ? 5.5 : 4.5}
                fill-opacity={opacity}
                stroke-opacity={opacity}
              />
            </g>
          );
        })}
        {layout.track.map(({ life, x, y }) => {
          const chosen = life.node === focus;
          return (
            <g
              key={life.node}
              class={chosen ? "node chosen" : "node"}
              transform={`translate(${x},${y})`}
              tabindex={life.node === stop ? 0 : -1}
              role="link"
              aria-current={chosen ? "true" : undefined}
              aria-label={`${spoken(life, life.label)}${
                Number.isNaN(life.score) ? "" : `, score ${figure(life.score)}, p ${pValue(life.p)}`
              }`}
              data-node={life.node}
              data-testid="track-node"
              onClick={() => walk(life.site, life.feature)}
              {...tip.on(() => <OfTrack life={life} />)}
            >
              <circle class="halo" r="17" />
              <circle
                class="dot"
                r={chosen ? 9 : 7}
                style={{ "--lane": LANES[run.lane(life.site)] }}
              />
            </g>
          );
        })}
        {/* apart from the marks, which say in words what these cut short */}
        <g class="texts" aria-hidden="true">
          {layout.sides.map((side) => (
            <SideText
              key={side.node}
              side={side}
              label={labels.get(side.node) ?? null}
              room={Math.min(layout.step - 26, layout.width - side.x - 14)}
            />
          ))}
          {layout.track.map((mark) => {
            const i = labelled.findIndex(({ node }) => node === mark.life.node);
            return (
              <NodeText
                key={mark.life.node}
                mark={mark}
                words={i < 0 ? null : labelled[i].words}
                room={i < 0 ? RIGHT : roomOf(i)}
                chosen={mark.life.node === focus}
              />
            );
          })}
        </g>
      </svg>
      {tip.view}
    </>
  );
}

/** What a feature beside the track is, in words. */
function saidOf(kind: "target" | "source" | "writer", partner: boolean): string {
  if (partner) return kind === "source" ? "merges with it" : "splits off";
  return { target: "another target", source: "another source", writer: "writes near it" }[kind];
}
