import type { Causes as All } from "../../data/causes";
import { several } from "../../draw/format";
import { Figure } from "../../parts/figure";
import { CsvButton } from "../../parts/table";
import { COLUMNS, Dots, type Row } from "./dots";
import { plain, two } from "./written";

const TO: Record<string, string> = {
  alone: "as the sum of its members",
  largest: "as its strongest member",
  "control together": "as other features of the same sizes",
};

/** What tracks do as a whole, beside what their members and other features do. */
export function Tracks({ all }: { all: All }) {
  const its = all.together.filter(({ control }) => !control);
  if (!its.length) return null;
  const of = (to: string) => its.find((one) => one.to === to);
  const controlOf = (to: string) =>
    all.together.find((one) => one.control && one.to === to)?.ratio ?? null;
  const [alone, largest, others] = ["alone", "largest", "control together"].map(of);
  const rows = its.map(({ to, ratio }): Row => {
    const control = controlOf(to);
    const name = TO[to] ?? to;
    return {
      name,
      its: ratio,
      control,
      kind: "named",
      said: `${name}: ${plain(ratio)}${control ? `; of other features ${plain(control)}` : ""}`,
    };
  });
  const values = rows.flatMap((row) => [row.its, row.control]).filter((one) => one !== null);
  const domain: [number, number] = [
    Math.min(0.5, ...values.map(({ low }) => low || 0.5)),
    Math.max(2, ...values.map(({ high }) => high || 2)),
  ];
  return (
    <section>
      <Figure
        name="cause-tracks"
        title="A track is removed as a whole"
        legend={[
          { color: "var(--accent)", text: "tracks", kind: "dot" },
          { color: "var(--accent)", text: "as many other features that fire there", kind: "ring" },
        ]}
      >
        <p class="cause-sentence" data-testid="cause-tracks-sentence">
          Removed over all their layers, {several(its[0].tracks, "track")} of{" "}
          {its[0].length.toFixed(1)} features change predictions
          {largest && (
            <>
              {" "}
              <b>{two(largest.ratio.value)}</b> times as much as their strongest member alone
            </>
          )}
          {alone && (
            <>
              , <b>{two(alone.ratio.value)}</b> times as much as their members one by one, summed
            </>
          )}
          {others && (
            <>
              , and <b>{two(others.ratio.value)}</b> times as much as other features of the same
              sizes
            </>
          )}
          .
        </p>
        <p class="aside">Ratios of summed KL divergences, with 95 % intervals over tracks.</p>
        <Dots
          label="How much a track changes predictions, as a multiple"
          rows={rows}
          domain={domain}
          log
          rule={1}
          write={(value) => `${two(value)}×`}
          testid="cause-tracks-dots"
        />
      </Figure>
      <CsvButton name="cause-tracks" columns={COLUMNS} rows={() => rows} />
    </section>
  );
}
