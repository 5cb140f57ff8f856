import { isOurs, medians, nameOf, plainly, rangeOf, type Value } from "../../data/evaluation";
import { figure } from "../../draw/format";
import { type IntervalRow, Intervals, type Measure } from "../../draw/intervals";
import { type Line, Lines } from "../../draw/lines";
import type { Key } from "../../draw/picture";

const KINDS: Key["kind"][] = ["dot", "ring", "box", "box"];

/** Which mark is of which text set. */
export function keyOf(texts: readonly string[]): Key[] {
  return texts.map((text, at) => ({
    color: "var(--ink)",
    text: short(text),
    kind: KINDS[at % KINDS.length],
  }));
}

const colorOf = (name: string) => (isOurs(name) ? "var(--accent)" : "var(--quiet)");

/** Every estimate, a mark per pair, of one text set: what costs less than what. */
export function Summary(props: {
  texts: string;
  at: number;
  values: readonly Value[];
  names: readonly string[];
  usual: string | null;
  domain: readonly [number, number];
  title: (value: Value) => string;
}) {
  const { texts, at, values, names, usual, domain, title } = props;
  const rows = names.map((name): IntervalRow => {
    const its = values.filter((one) => nameOf(one, usual) === name && !Number.isNaN(one.value));
    const middle = medians(its)[0]?.value;
    return {
      name: plainly(name),
      quiet: !isOurs(name),
      figure: figure(middle),
      marks: its.map((one) => ({
        value: one.value,
        low: NaN,
        high: NaN,
        color: colorOf(name),
        kind: at % 4,
        said: `${title(one)}: ${figure(one.value)}`,
      })),
    };
  });
  const dropped = values.filter((one) => one.estimate === "drop");
  return (
    <Intervals
      label={`${short(texts)}: ${rows.map((row) => `${row.name}, median ${row.figure}`).join("; ")}`}
      title={short(texts)}
      rows={rows}
      domain={domain}
      rule={0}
      guide={medians(dropped)[0]?.value}
      write={plain}
      testid="eval-summary"
    />
  );
}

/** One estimate, pair by pair: a mark and its interval for each text set. */
export function Estimate(props: {
  name: string;
  values: readonly Value[];
  pairs: readonly { a: string; b: string; title: string }[];
  texts: readonly string[];
  domain: readonly [number, number];
}) {
  const { name, values, pairs, texts, domain } = props;
  const rows = pairs.map(({ a, b, title }): IntervalRow => {
    const its = values.filter((one) => one.a === a && one.b === b && !Number.isNaN(one.value));
    return {
      name: title,
      marks: its.map((one): Measure => {
        const kind = texts.indexOf(one.texts) % 4;
        return {
          value: one.value,
          low: one.low,
          high: one.high,
          color: colorOf(name),
          kind,
          said: `${title}, ${short(one.texts)}: ${said(one)}`,
        };
      }),
    };
  });
  return (
    <Intervals
      label={`${plainly(name)}, pair by pair; the table has the figures`}
      title={plainly(name)}
      rows={rows}
      domain={domain}
      rule={0}
      write={plain}
      spread
      testid="eval-estimate"
    />
  );
}

/** What part of the features is sent ahead, against what that costs; dashed: dropping the layer. */
export function Quantiles(props: {
  title: string;
  values: readonly Value[];
  texts: readonly string[];
  usual: string | null;
  domain: readonly [number, number];
}) {
  const { title, values, texts, usual, domain } = props;
  const lines = texts.flatMap((text, at): Line[] => {
    const its = values.filter((value) => value.texts === text && !Number.isNaN(value.value));
    const points = its.filter((one) => isShare(one, usual));
    if (!points.length) return [];
    const whole = its.find((value) => nameOf(value, usual) === "match");
    if (whole && !points.some(({ q }) => q === 1)) points.push({ ...whole, q: 1 });
    points.sort((one, other) => one.q - other.q);
    return [
      {
        name: short(text),
        level: its.find((value) => value.estimate === "drop")?.value,
        color: "var(--accent)",
        kind: at,
        points: points.map((one) => ({
          x: one.q,
          y: one.value,
          low: one.low,
          high: one.high,
          said: `${short(text)}, q ${one.q}: ${said(one)}`,
        })),
      },
    ];
  });
  if (!lines.length) return null;
  return (
    <Lines
      label={`${title}: by the share of features sent ahead; the table has the figures`}
      title={title}
      lines={lines}
      x={{ domain: [0, 1], ticks: [0, 0.5, 1], label: "share sent ahead, q" }}
      y={{ domain, rule: 0 }}
      writeX={String}
      writeY={plain}
      height={210}
      testid="eval-quantiles"
    />
  );
}

/** Values of a partial matching by share, rescaled as most are. */
export const isShare = (one: Value, usual: string | null) =>
  one.estimate === "partial" && !Number.isNaN(one.q) && (!one.carry || one.carry === usual);

/** The median over pairs, by how many blocks they are apart. */
export function Distances(props: {
  title: string;
  values: readonly Value[];
  names: readonly string[];
  usual: string | null;
}) {
  const { title, values, names, usual } = props;
  const curves = names
    .map((name) => ({
      name,
      points: medians(values.filter((one) => Number.isNaN(one.q) && nameOf(one, usual) === name)),
    }))
    .filter((curve) => curve.points.length);
  const steps = [...new Set(curves.flatMap(({ points }) => points.map((one) => one.skipped)))].sort(
    (one, other) => one - other,
  );
  const near = curves.filter(({ name }) => name !== "mean");
  const heights = (near.length ? near : curves).flatMap(({ points }) => points.map((p) => p.value));
  const far = curves.filter((curve) => !near.includes(curve) && near.length);
  const lines = (near.length ? near : curves).map(
    ({ name, points }): Line => ({
      name: plainly(name),
      color: colorOf(name),
      chosen: name === "match",
      kind: 0,
      points: points.map(({ skipped, value }) => ({
        x: skipped,
        y: value,
        said: `${plainly(name)}, ${skipped} left out: ${figure(value)}`,
      })),
    }),
  );
  return (
    <div>
      <Lines
        label={`${title}: medians by distance; the table has the figures`}
        title={title}
        lines={lines}
        x={{
          domain: [steps[0], steps[steps.length - 1]],
          ticks: steps,
          label: "blocks left out",
        }}
        y={{ domain: [Math.min(0, ...heights), Math.max(0, ...heights)], rule: 0 }}
        writeX={String}
        writeY={plain}
        height={340}
        testid="eval-distances"
      />
      {far.map(({ name, points }) => (
        <p key={name} class="aside" data-testid="eval-far">
          Not drawn, for want of room: {plainly(name).toLowerCase()},{" "}
          {points.map(({ skipped, value }) => `${figure(value)} at ${skipped}`).join(", ")}.
        </p>
      ))}
    </div>
  );
}

/** The range of the values by share, and of what they are seen beside. */
export function rangeOfShares(values: readonly Value[], usual: string | null): [number, number] {
  return rangeOf(
    values.filter(
      (one) => isShare(one, usual) || one.estimate === "drop" || nameOf(one, usual) === "match",
    ),
  );
}

const said = ({ value, low, high }: Value) =>
  `${figure(value)} (${figure(low)} to ${figure(high)})`;

/** A figure as an axis writes it: without zeros at its end. */
export function plain(value: number): string {
  const text = figure(value);
  return /\.\d*0+$/.test(text) ? text.replace(/\.?0+$/, "") : text;
}

/** A text set without where it comes from. */
export function short(texts: string): string {
  return texts.replace(/^saematch:/, "");
}
