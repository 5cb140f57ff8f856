import type { Curve, Replacement } from "../../data/causes";
import { figure } from "../../draw/format";
import { type Line, Lines } from "../../draw/lines";

const LEAST = 10; // features from which on a mean is drawn: of fewer it says little

/** Substitution quality against coverage: a curve per method, beside lines of what is no match. */
export function Curves(props: {
  title: string;
  curves: readonly Curve[];
  levels: readonly Replacement[];
  features: number;
  best: string | null;
}) {
  const { title, curves, levels, features, best } = props;
  const lines: Line[] = [
    ...curves.map(({ method, points }) => ({
      name: method,
      color: method === best ? "var(--accent)" : "var(--quiet)",
      chosen: method === best,
      points: points
        .filter(({ coverage }) => coverage * features >= LEAST - 0.5)
        .map(({ coverage, quality }) => ({ x: coverage, y: quality })),
    })),
    ...levels
      .filter(({ equivalence }) => !Number.isNaN(equivalence.value))
      .map(({ method, equivalence }) => ({
        name: method,
        color: "var(--quiet)",
        points: [],
        level: equivalence.value,
      })),
  ];
  const heights = lines.flatMap(({ points, level = 0 }) => [level, ...points.map(({ y }) => y)]);
  return (
    <Lines
      label={`${title}. ${lines
        .map(({ name, points, level }) => `${name}: ${figure(points.at(-1)?.y ?? level)} of all`)
        .join("; ")}`}
      title={title}
      lines={lines}
      x={{
        domain: [0, 1],
        ticks: [0, 0.25, 0.5, 0.75, 1],
        label: "of the features, the surest partners first",
      }}
      y={{ domain: [Math.min(...heights), Math.max(0.2, ...heights)], rule: 0 }}
      writeX={(share) => `${100 * share} %`}
      writeY={(value) => String(Number(value.toFixed(2))).replace("-", "−")}
      testid="cause-curves"
    />
  );
}
