import type { Life } from "../../data/explorer";
import { figure, pValue } from "../../draw/format";
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
        <p class="tip-note">here the track starts</p>
      ) : (
        <Facts
          facts={[
            ["score", figure(life.score)],
            ["p-value", pValue(life.p)],
            ["cosine", figure(life.cosine)],
            ["correlation", figure(life.pearson)],
          ]}
        />
      )}
    </>
  );
}

/** What is told of a feature beside the track. */
export function OfSide(props: { side: SideMark; label: string | null; partner: boolean }) {
  const { side, label, partner } = props;
  const { edge, of } = side;
  const forward = side.kind === "target";
  const its = `${of.site} ${of.feature}`;
  const why = partner
    ? forward
      ? `splits off from ${its}`
      : `merges into ${its}`
    : forward
      ? `another ${edge.kind} of ${its}`
      : side.kind === "writer"
        ? `what a module writes, near ${its}`
        : `another ${edge.kind === "candidate" ? "feature near" : "source of"} ${its}`;
  return (
    <>
      <p class="tip-title">
        <bdi class="site">{side.site}</bdi> <b>{side.feature}</b>
      </p>
      <p class="tip-label">
        <bdi>{label ?? "…"}</bdi>
      </p>
      <p class="tip-note">{why}</p>
      <Facts
        facts={[
          ["score", figure(edge.score)],
          ["p-value", pValue(Number.isNaN(edge.p) ? edge.sourceP : edge.p)],
          ["rank", `${rank(edge.rank)} forward, ${rank(edge.sourceRank)} back`],
          ["cosine", figure(edge.cosine)],
          ["correlation", figure(edge.pearson)],
        ]}
      />
    </>
  );
}

function rank(value: number): string {
  return Number.isNaN(value) ? "–" : String(value);
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
