import type { Life } from "../../data/explorer";
import { figure, percent, pValue } from "../../draw/format";
import type { SideMark } from "./layout";

/** What is told of a feature of the track. */
export function OfTrack({ life }: { life: Life }) {
  const born = Number.isNaN(life.score);
  return (
    <>
      <p class="tip-title">
        <bdi class="site">{life.site}</bdi> <b>{life.feature}</b>
      </p>
      <p class="tip-label">
        <bdi>{life.label ?? "no contexts known"}</bdi>
      </p>
      {born ? (
        <p class="tip-note">here the track begins</p>
      ) : (
        <p class="tip-note">the match that leads here:</p>
      )}
      <Facts
        facts={[
          ["score", figure(life.score)],
          ["p-value", pValue(life.p)],
          ["decoder cosine", figure(life.cosine)],
          ["correlation of activations", figure(life.pearson)],
          ["fires on", percent(life.frequency)],
        ]}
      />
    </>
  );
}

/** What is told of a feature beside the track. */
export function OfSide(props: { side: SideMark; label: string | null; partner: boolean }) {
  const { side, label, partner } = props;
  const { edge, of } = side;
  return (
    <>
      <p class="tip-title">
        <bdi class="site">{side.site}</bdi> <b>{side.feature}</b>
      </p>
      <p class="tip-label">
        <bdi>{label ?? "…"}</bdi>
      </p>
      <p class="tip-note">{whyOf(side, partner)}</p>
      <Facts
        facts={[
          ["score", figure(edge.score)],
          ["p-value", pValue(Number.isNaN(edge.p) ? edge.sourceP : edge.p)],
          ["decoder cosine", figure(edge.cosine)],
          ["correlation of activations", figure(edge.pearson)],
        ]}
      />
      <p class="tip-note">{ranksOf(side.kind === "target", edge, `${of.site} ${of.feature}`)}</p>
    </>
  );
}

/** Why a feature is drawn beside the track. */
function whyOf(side: SideMark, partner: boolean): string {
  const its = `${side.of.site} ${side.of.feature}`;
  const forward = side.kind === "target";
  if (partner) return forward ? `splits off from ${its}` : `merges into ${its}`;
  if (side.kind === "writer") return `what a module writes, near ${its}`;
  if (side.edge.kind === "match") return forward ? `${its} matches it` : `it matches ${its}`;
  return forward ? `another target of ${its}` : `another source of ${its}`;
}

/** Both ranks of an edge in words; empty where neither is known. */
function ranksOf(forward: boolean, edge: SideMark["edge"], its: string): string {
  const [rank, back] = [nth(edge.rank), nth(edge.sourceRank)];
  const target = forward ? "it" : its;
  const source = forward ? its : "it";
  return [
    rank && `${target} is the ${rank} target of ${source}`,
    back && `${source} is the ${back} source of ${target}`,
  ]
    .filter(Boolean)
    .join("; ");
}

/** best, second best, third best, 4th best. */
function nth(rank: number): string | null {
  if (Number.isNaN(rank)) return null;
  return ["best", "second best", "third best"][rank - 1] ?? `${rank}th best`;
}

function Facts({ facts }: { facts: readonly (readonly [string, string])[] }) {
  return (
    <dl class="tip-facts">
      {facts
        .filter(([, value]) => value !== "–")
        .map(([name, value]) => (
          <>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </>
        ))}
    </dl>
  );
}
