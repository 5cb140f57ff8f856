import * as Plot from "@observablehq/plot";
import { useMemo } from "preact/hooks";
import { type Passing as Curve, type Likest, loadLikest } from "../../data/relations";
import type { Pair } from "../../data/run";
import { count, figure, percent } from "../../draw/format";
import { Chart } from "../../draw/plot";
import { Explained } from "../../parts/explained";
import { Figure } from "../../parts/figure";
import { Failure, Loading } from "../../parts/notices";
import { Segments } from "../../parts/segments";
import { CsvButton } from "../../parts/table";
import { latest, useLoaded } from "../../parts/use";
import type { ViewProps } from "../view";
import { Listing, numeric } from "./listing";
import { type LabelOf, Named, namedText } from "./named";

const AT = 0.5; // the cut-off that the sentence is of

/** How many features have one like them on the other side, at any cut-off, and which. */
export function Passing(
  props: ViewProps & { pair: Pair; curves: readonly Curve[]; label: LabelOf },
) {
  const { data, explorer, state, go, pair, curves, label } = props;
  const { a, b } = pair;
  const curve = curves.find(({ statistic }) => statistic === state.more.by) ?? curves[0];
  const forward = state.more.way !== "back";
  const [from, to] = forward ? [a, b] : [b, a];
  const loaded = useLoaded(
    () => loadLikest(data, explorer, { a, b, statistic: curve.statistic, forward }),
    [a, b, curve.statistic, forward],
  );
  const likest = latest(loaded);
  const ascending = state.more.dir === "up";
  const rows = useMemo(() => (ascending ? likest?.toReversed() : likest), [likest, ascending]);
  const name = curve.statistic.replace("_", " ").replace("pearson", "correlation");
  return (
    <>
      <Segments
        label="Similarity"
        value={curve.statistic}
        choices={curves.map(({ statistic }) => ({
          value: statistic,
          text: statistic.replace("_", " ").replace("pearson", "correlation"),
        }))}
        onChange={(value) => go({ more: { by: value, pick: null } })}
      />
      <Curves curve={curve} name={name} a={a} b={b} />
      <Segments
        label="Which way"
        value={forward ? "forward" : "back"}
        choices={[
          { value: "forward", text: `Features of ${a}` },
          { value: "back", text: `Features of ${b}` },
        ]}
        onChange={(value) => go({ more: { way: value === "back" ? value : null, pick: null } })}
      />
      {loaded.status === "error" && <Failure error={loaded.error} />}
      {!rows && loaded.status === "loading" && <Loading what="who is like whom" />}
      {rows && (
        <Listing<Likest>
          {...props}
          name={`${a}-${b}-passing-${curve.statistic}-${forward ? "forward" : "back"}`}
          title={`Passing by ${name}: ${from} to ${to}`}
          says={
            <>
              The feature of {to} that each of {from} is most like, by {name}:{" "}
              {ascending ? "the least" : "the most"} alike first. Those at the{" "}
              {ascending ? "top" : "end"} {forward ? "disappear" : "appear"}.
            </>
          }
          columns={(narrow) => [
            {
              key: "feature",
              title: from,
              width: narrow ? "9em" : undefined,
              show: (row) => <Named feature={row.feature} label={label(from, row.feature)} />,
              text: (row) => namedText(row.feature, label(from, row.feature)),
            },
            {
              key: "other",
              title: to,
              width: narrow ? "9em" : undefined,
              show: (row) => <Named feature={row.other} label={label(to, row.other)} />,
              text: (row) => namedText(row.other, label(to, row.other)),
            },
            numeric(
              "value",
              "Similarity",
              (row) => figure(row.value),
              (row) => row.value,
              { width: "6.6em" },
            ),
            {
              ...numeric<Likest>(
                "together",
                "Tokens of both",
                (row) => count(row.together),
                (row) => row.together,
                { width: "8em" },
              ),
              sorts: false,
            },
          ]}
          rows={rows}
          keyOf={(row) => row.feature}
          sides={(row) => [
            { site: from, feature: row.feature },
            { site: to, feature: row.other },
          ]}
          told={(row) =>
            `${name} ${figure(row.value)} · both fire on ${count(row.together)} tokens`
          }
          sort="value"
          descending={!ascending}
          onSort={() => go({ more: { dir: ascending ? null : "up", pick: null } })}
        />
      )}
    </>
  );
}

function Curves(props: { curve: Curve; name: string; a: string; b: string }) {
  const { curve, name, a, b } = props;
  const { points, featuresA, featuresB } = curve;
  const at = points.reduce((best, point) =>
    Math.abs(point.cutoff - AT) < Math.abs(best.cutoff - AT) ? point : best,
  );
  const lines = points.flatMap(({ cutoff, forward, backward }) => [
    { cutoff, share: forward, way: "forward" },
    { cutoff, share: backward, way: "backward" },
  ]);
  const legend = [
    { color: "var(--accent)", text: `of ${a}, passing on to ${b}`, kind: "line" as const },
    { color: "var(--attn)", text: `of ${b}, coming from ${a}`, kind: "dash" as const },
  ];
  const from = `${percent(at.forward)} of ${count(featuresA)} features of ${a}`;
  const back = `${percent(at.backward)} of ${count(featuresB)} of ${b} come from there`;
  const cutoff = String(Number(at.cutoff.toPrecision(3)));
  return (
    <Figure
      name={`${a}-${b}-passing`}
      title={`How many pass, by ${name}`}
      level={3}
      legend={legend}
      class="passing"
    >
      <p class="aside" data-testid="passing-says">
        At a {name} of {cutoff} or more, {from} <Explained term="passing">pass on</Explained>, and{" "}
        {back}.
      </p>
      <Chart
        label={`Share of features that pass by the least ${name}: at ${cutoff}, ${from} pass on, and ${back}`}
        height={220}
        on={[curve]}
        testid="passing"
        options={() => ({
          marginLeft: 44,
          marginTop: 26,
          marginRight: 16,
          marginBottom: 36,
          x: { label: `least ${name} →`, grid: false },
          y: {
            label: "↑ share that passes",
            domain: [0, 1],
            tickFormat: "%",
            ticks: 5,
            grid: true,
          },
          marks: [
            Plot.ruleX([at.cutoff], { stroke: "var(--line)" }),
            Plot.lineY(
              lines.filter(({ way }) => way === "forward"),
              { x: "cutoff", y: "share", stroke: "var(--accent)", strokeWidth: 2 },
            ),
            Plot.lineY(
              lines.filter(({ way }) => way === "backward"),
              {
                x: "cutoff",
                y: "share",
                stroke: "var(--attn)",
                strokeWidth: 2,
                strokeDasharray: "5 3",
              },
            ),
            Plot.tip(
              lines,
              Plot.pointerX({
                x: "cutoff",
                y: "share",
                title: ({ cutoff, share, way }) =>
                  `${way === "forward" ? `${percent(share)} of ${a} pass` : `${percent(share)} of ${b} come from there`} at ${figure(cutoff)}`,
              }),
            ),
          ],
        })}
      />
      <CsvButton
        name={`${a}-${b}-passing-${curve.statistic}-curve`}
        columns={[
          { title: "cutoff", text: (row: Curve["points"][number]) => row.cutoff },
          { title: "passing_forward", text: (row) => row.forward },
          { title: "passing_backward", text: (row) => row.backward },
        ]}
        rows={() => points}
      />
    </Figure>
  );
}
