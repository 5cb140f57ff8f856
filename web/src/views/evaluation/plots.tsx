import { extent } from "d3-array";
import { scaleLinear, scalePoint } from "d3-scale";
import { line } from "d3-shape";
import { apart, isOurs, medians, nameOf, type Value } from "../../data/evaluation";
import { figure } from "../../draw/format";
import { fitted } from "../../draw/path";
import { ticked } from "../../draw/ticks";
import { useWidth } from "../../parts/use";

const NAMES = 238; // pixels of the names of estimates
const ROW = 19;

/** The mark of a text set: filled, hollow, a diamond, a square. */
export function Mark({ at, x = 0, y = 0 }: { at: number; x?: number; y?: number }) {
  if (at % 4 < 2) return <circle class={at % 4 ? "hollow" : undefined} cx={x} cy={y} r={3.6} />;
  const side = at % 4 === 2 ? 6 : 6.4;
  return (
    <rect
      class={at % 4 === 3 ? "hollow" : undefined}
      x={x - side / 2}
      y={y - side / 2}
      width={side}
      height={side}
      transform={at % 4 === 2 ? `rotate(45 ${x} ${y})` : undefined}
    />
  );
}

/** Estimates of one pair: a dot and its interval for each text set. */
export function Estimates(props: {
  title: string;
  values: readonly Value[];
  names: readonly string[];
  texts: readonly string[];
  usual: string | null;
  domain: readonly [number, number];
}) {
  const { title, values, names, texts, usual, domain } = props;
  const [box, width] = useWidth<HTMLDivElement>();
  const height = names.length * ROW + 46;
  const x = scaleLinear(domain, [NAMES, width - 36]);
  const middle = (row: number) => 24 + (row + 0.5) * ROW;
  const drop = names.indexOf("drop");
  return (
    <div ref={box} class="eval-panel">
      <h3>{title}</h3>
      {width > 0 && (
        <svg
          width={width}
          height={height}
          role="img"
          aria-label={`${title}: the table has the figures`}
        >
          {x.ticks(Math.max(2, Math.floor((width - NAMES) / 70))).map((tick) => (
            <g key={tick} class={tick === 0 ? "grid zero" : "grid"}>
              <line x1={x(tick)} x2={x(tick)} y1={22} y2={height - 22} />
              <text x={x(tick)} y={height - 6} text-anchor="middle">
                {ticked(x, 6, tick)}
              </text>
            </g>
          ))}
          {names.map((name, row) => {
            const its = values.filter(
              (value) => nameOf(value, usual) === name && Number.isNaN(value.q),
            );
            const kind = isOurs(name) ? "ours" : "theirs";
            return (
              <g key={name} class={`estimate ${kind}`}>
                <text x={NAMES - 14} y={middle(row) + 4} text-anchor="end">
                  {fitted(name, NAMES, 10.6)}
                </text>
                {its.map((value) => {
                  const at = texts.indexOf(value.texts);
                  const y = middle(row) + (at - (texts.length - 1) / 2) * 5.5;
                  const beyond = value.value > domain[1] || value.value < domain[0];
                  const said = `${value.texts}: ${figure(value.value)} (${figure(value.low)} to ${figure(value.high)})`;
                  if (beyond) {
                    return at === 0 || !its.some((one) => texts.indexOf(one.texts) === 0) ? (
                      <text
                        class="beyond"
                        key={value.texts}
                        x={width - 2}
                        y={middle(row) + 4}
                        text-anchor="end"
                      >
                        {figure(value.value)} →<title>{said}</title>
                      </text>
                    ) : null;
                  }
                  return (
                    <g key={value.texts}>
                      <title>{said}</title>
                      <line
                        class="interval"
                        x1={x(Math.max(domain[0], value.low))}
                        x2={x(Math.min(domain[1], value.high))}
                        y1={y}
                        y2={y}
                      />
                      <Mark at={at} x={x(value.value)} y={y} />
                    </g>
                  );
                })}
              </g>
            );
          })}
          {drop >= 0 && names.length > drop + 1 && (
            <line
              class="rule"
              x1={0}
              x2={width}
              y1={middle(lastOfBaselines(names)) + ROW / 2}
              y2={middle(lastOfBaselines(names)) + ROW / 2}
            />
          )}
        </svg>
      )}
    </div>
  );
}

function lastOfBaselines(names: readonly string[]): number {
  return names.findLastIndex((name) => !isOurs(name));
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
  const [box, width] = useWidth<HTMLDivElement>();
  const height = 170;
  const [left, right, top, bottom] = [38, 74, 10, 34];
  const x = scaleLinear([0, 1], [left, width - right]);
  const y = scaleLinear(domain, [height - bottom, top]);
  const curves = texts.map((text, at) => {
    const its = values.filter((value) => value.texts === text);
    const whole = its.find((value) => nameOf(value, usual) === "match");
    const points = its
      .filter((value) => !Number.isNaN(value.q) && (!value.carry || value.carry === usual))
      .map((value) => ({ ...value }));
    if (whole && !points.some((point) => point.q === 1)) points.push({ ...whole, q: 1 });
    points.sort((one, other) => one.q - other.q);
    return { text, at, points, drop: its.find((value) => value.estimate === "drop") };
  });
  const ends = curves.filter((curve) => curve.points.length);
  if (!ends.length) return null;
  const labels = apart(
    ends.map((curve) => y(curve.points[curve.points.length - 1].value)),
    14,
  );
  return (
    <div ref={box} class="eval-panel">
      <h3>{title}</h3>
      {width > 0 && (
        <svg
          width={width}
          height={height}
          role="img"
          aria-label={`${title}: by the share of features sent ahead`}
        >
          {y.ticks(3).map((tick) => (
            <g key={tick} class="grid">
              <line x1={left} x2={width - right} y1={y(tick)} y2={y(tick)} />
              <text x={left - 6} y={y(tick) + 4} text-anchor="end">
                {ticked(y, 5, tick)}
              </text>
            </g>
          ))}
          {[0, 0.5, 1].map((tick) => (
            <text
              key={tick}
              class="muted-text"
              x={x(tick)}
              y={height - bottom + 16}
              text-anchor="middle"
            >
              {tick}
            </text>
          ))}
          <text
            class="muted-text"
            x={(left + width - right) / 2}
            y={height - 2}
            text-anchor="middle"
          >
            share sent ahead, q
          </text>
          {ends.map(({ text, at, points, drop }, k) => (
            <g key={text} class="estimate ours">
              {drop && (
                <line
                  class="dropped"
                  x1={left}
                  x2={width - right}
                  y1={y(drop.value)}
                  y2={y(drop.value)}
                >
                  <title>{`${text}: dropping the layer, ${figure(drop.value)}`}</title>
                </line>
              )}
              <path
                d={
                  line<Value>(
                    (one) => x(one.q),
                    (one) => y(one.value),
                  )(points) ?? ""
                }
              />
              {points.map((one) => (
                <g key={one.q}>
                  <title>{`${text}, q ${one.q}: ${figure(one.value)} (${figure(one.low)} to ${figure(one.high)})`}</title>
                  <line
                    class="interval"
                    x1={x(one.q)}
                    x2={x(one.q)}
                    y1={y(one.low)}
                    y2={y(one.high)}
                  />
                  <Mark at={at} x={x(one.q)} y={y(one.value)} />
                </g>
              ))}
              <text x={width - right + 8} y={labels[k] + 4}>
                {fitted(short(text), right - 10)}
              </text>
            </g>
          ))}
        </svg>
      )}
    </div>
  );
}

/** The median over pairs, by how many blocks they are apart. */
export function Distances(props: {
  title: string;
  values: readonly Value[];
  names: readonly string[];
  usual: string | null;
}) {
  const { title, values, names, usual } = props;
  const [box, width] = useWidth<HTMLDivElement>();
  const height = 300;
  const [left, right, top, bottom] = [44, 232, 10, 36];
  const curves = names
    .map((name) => ({
      name,
      points: medians(values.filter((one) => Number.isNaN(one.q) && nameOf(one, usual) === name)),
    }))
    .filter((curve) => curve.points.length);
  const steps = [
    ...new Set(curves.flatMap((curve) => curve.points.map((one) => one.skipped))),
  ].sort((one, other) => one - other);
  const x = scalePoint(steps, [left + 8, width - right]);
  const [low = 0, high = 1] = extent(
    curves.flatMap((curve) => curve.points.map((one) => one.value)),
  );
  const y = scaleLinear([Math.min(0, low), high], [height - bottom, top]).nice();
  const labels = apart(
    curves.map((curve) => y(curve.points[curve.points.length - 1].value)),
    14,
  );
  return (
    <div ref={box} class="eval-panel">
      <h3>{title}</h3>
      {width > 0 && (
        <svg
          width={width}
          height={height}
          role="img"
          aria-label={`${title}: medians by distance; the table has the figures`}
        >
          {y.ticks(5).map((tick) => (
            <g key={tick} class="grid">
              <line x1={left} x2={width - right} y1={y(tick)} y2={y(tick)} />
              <text x={left - 6} y={y(tick) + 4} text-anchor="end">
                {ticked(y, 5, tick)}
              </text>
            </g>
          ))}
          {steps.map((step) => (
            <text
              key={step}
              class="muted-text"
              x={x(step)}
              y={height - bottom + 18}
              text-anchor="middle"
            >
              {step}
            </text>
          ))}
          <text
            class="muted-text"
            x={(left + width - right) / 2}
            y={height - 2}
            text-anchor="middle"
          >
            blocks left out
          </text>
          {curves.map(({ name, points }, k) => {
            const last = points[points.length - 1];
            return (
              <g key={name} class={`estimate ${isOurs(name) ? "ours" : "theirs"}`}>
                <path
                  d={
                    line<(typeof points)[0]>(
                      (one) => x(one.skipped) ?? 0,
                      (one) => y(one.value),
                    )(points) ?? ""
                  }
                />
                {points.map((one) => (
                  <Mark key={one.skipped} at={0} x={x(one.skipped)} y={y(one.value)} />
                ))}
                <path
                  class="leader"
                  d={`M${(x(last.skipped) ?? 0) + 6},${y(last.value)}L${width - right + 16},${labels[k]}`}
                />
                <text x={width - right + 20} y={labels[k] + 4}>
                  {fitted(name, right - 22)}
                </text>
              </g>
            );
          })}
        </svg>
      )}
    </div>
  );
}

/** A text set without where it comes from. */
export function short(texts: string): string {
  return texts.replace(/^saematch:/, "");
}
