import type { Gate } from "../../data/relations";
import type { Pair } from "../../data/run";
import { count, percent } from "../../draw/format";
import { Explained } from "../../parts/explained";
import { Segments } from "../../parts/segments";
import type { ColumnOf } from "../../parts/table";
import type { ViewProps } from "../view";
import { Listing, numeric } from "./listing";
import { type LabelOf, Named, namedText } from "./named";

const RULES = ["certain", "paper", "both"] as const;
type Rule = (typeof RULES)[number];

const RULE_TITLES: Record<Rule, string> = {
  certain: "Certain",
  paper: "By the paper’s rule",
  both: "By both",
};

/** Features of B that two features of A make together. */
export function Gates(props: ViewProps & { pair: Pair; gates: readonly Gate[]; label: LabelOf }) {
  const { state, go, pair, gates, label } = props;
  const { a, b } = pair;
  const byRule = (rule: Rule) => gates.filter((gate) => passes(gate, rule));
  const there = RULES.filter((rule) => byRule(rule).length);
  const rule = there.find((one) => one === state.more.rule) ?? there[0] ?? "certain";
  const rows = byRule(rule);
  const ands = rows.filter(({ kind }) => kind === "and").length;
  const inputs = (gate: Gate) => [gate.first, gate.second];
  const columns = (narrow: boolean): ColumnOf<Gate>[] => [
    {
      key: "feature",
      title: b,
      width: narrow ? "9em" : "11em",
      show: (gate) => <Named feature={gate.feature} label={label(b, gate.feature)} />,
      text: (gate) => namedText(gate.feature, label(b, gate.feature)),
    },
    {
      key: "kind",
      title: "Gate",
      width: "4em",
      show: ({ kind }) => kind.toUpperCase(),
      text: ({ kind }) => kind,
    },
    {
      key: "inputs",
      title: `Inputs, of ${a}`,
      width: "16em",
      grows: true,
      show: (gate) => (
        <span class={narrow ? "parts two" : "parts"}>
          {inputs(gate).map((feature) => (
            <Named key={feature} feature={feature} label={label(a, feature)} />
          ))}
        </span>
      ),
      text: (gate) =>
        inputs(gate)
          .map((feature) => namedText(feature, label(a, feature)))
          .join("; "),
    },
    {
      ...numeric<Gate>(
        "joint",
        "Together",
        ({ joint }) => percent(joint),
        ({ joint }) => joint,
      ),
      sorts: false,
    },
    {
      ...numeric<Gate>(
        "alone",
        "Alone",
        ({ alone }) => percent(alone),
        ({ alone }) => alone,
      ),
      sorts: false,
    },
    {
      ...numeric<Gate>(
        "examples",
        "Examples",
        ({ examples }) => count(examples),
        ({ examples }) => examples,
      ),
      sorts: false,
    },
  ];
  return (
    <>
      <Segments
        label="By which rule"
        value={rule}
        choices={there.map((value) => ({
          value,
          text: `${RULE_TITLES[value]} ${count(byRule(value).length)}`,
        }))}
        onChange={(value) => go({ more: { rule: value, pick: null } })}
      />
      <Listing<Gate>
        {...props}
        name={`${a}-${b}-gates-${rule}`}
        title={`Gates: ${a} to ${b}`}
        says={
          <>
            {count(rows.length)} features of {b} that two features of {a} make together (
            <Explained term="gate">gates</Explained>): {count(ands)} fire where both do (AND),{" "}
            {count(rows.length - ands)} where either does (OR). Together and alone: how well the two
            foretell it, and the better of them without the other.{" "}
            {rule === "paper" && "This rule counts what was seen a few times, too. "}
            Gates are seen on text; no cause was tested.
          </>
        }
        columns={columns}
        rows={rows}
        keyOf={(gate) => 2 * gate.feature + Number(gate.kind === "or")}
        sides={(gate) => [
          { site: b, feature: gate.feature, note: gate.kind === "and" ? "both of" : "either of" },
          { site: a, feature: gate.first, note: shareOf(gate, gate.shareFirst) },
          { site: a, feature: gate.second, note: shareOf(gate, gate.shareSecond) },
        ]}
        told={saying}
      />
    </>
  );
}

function passes(gate: Gate, rule: Rule): boolean {
  if (rule === "both") return gate.certain && gate.paper;
  return rule === "certain" ? gate.certain : gate.paper;
}

function shareOf(gate: Gate, share: number): string {
  return gate.kind === "and"
    ? `fires on ${percent(share)} of the feature’s tokens`
    : `the feature fires on ${percent(share)} of its tokens`;
}

function saying(gate: Gate): string {
  const { joint, alone, active, examples } = gate;
  const seen = `${count(active)} tokens of the feature, ${count(examples)} examples`;
  return gate.kind === "and"
    ? `Where both inputs fire, it fires on ${percent(joint)} of tokens; with the better one without the other, on ${percent(alone)} · ${seen}`
    : `Of its tokens, ${percent(joint)} have one of both inputs; the better one without the other, ${percent(alone)} · ${seen}`;
}
