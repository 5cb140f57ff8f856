import type { Coverage } from "../../data/judging";
import { count, figure } from "../../draw/format";
import { Lines } from "../../draw/lines";

/** Quality against coverage: a curve per judge, beside the line of its mean. */
export function Curves({ curves, judge }: { curves: readonly Coverage[]; judge: string }) {
  return (
    <Lines
      label={curves.map(said).join("; ")}
      lines={curves.map((curve) => ({
        name: curve.judge,
        level: curve.mean,
        color: curve.judge === judge ? "var(--accent)" : "var(--quiet)",
        chosen: curve.judge === judge,
        points: curve.points.map(({ share, quality }) => ({ x: share, y: quality })),
      }))}
      x={{
        domain: [0, 1],
        ticks: [0, 0.25, 0.5, 0.75, 1],
        label: "of the matches, the smallest p-values first",
      }}
      y={{ domain: [0, 1] }}
      writeX={(share) => `${100 * share} %`}
      writeY={String}
      testid="judged-curves"
    />
  );
}

function said({ judge, points, mean, matches }: Coverage): string {
  const quarter = points.find((point) => point.share >= 0.25);
  const first =
    quarter && quarter.share < 0.5
      ? `, ${figure(quarter.quality)} over the surest ${Math.round(100 * quarter.share)} %`
      : "";
  return `${judge}: ${figure(mean)} over ${count(matches)} matches${first}`;
}
