import { type Finding, findingOf, type Spread, type Value } from "../../data/evaluation";
import { count, figure, several } from "../../draw/format";
import { short } from "./plots";

/** What matches are worth, in two sentences: beside dropping the layers, and beside the mean. */
export function FindingOf(props: {
  values: readonly Value[];
  usual: string | null;
  texts: readonly string[];
  /** Blocks that are left out, where the run has several distances. */
  distance: number | null;
}) {
  const { values, usual, texts, distance } = props;
  const found = findingOf(values, usual);
  if (!found) return null;
  const { match, drop, mean } = found;
  const layers = distance === null || distance === 1 ? "layer" : "layers";
  return (
    <p class="eval-finding" data-testid="finding">
      {distance === null ? "S" : `With ${several(distance, "block")} left out: s`}ending the hidden
      state along all matches costs the model <b>{range(match)} nats</b>, dropping the {layers}{" "}
      <b>{range(drop)}</b>; the medians are {figure(match.median)} and {figure(drop.median)}.{" "}
      <b>{verdict(found)}</b> ({surely(found)}).
      {mean && (
        <>
          {" "}
          The mean hidden state in its place costs {range(mean)}, more than matches in{" "}
          {ofAll(found.lessThanMean, found.meanCases)}.
        </>
      )}{" "}
      <span class="eval-cases">
        {several(found.pairs, "pair")} of SAEs, on {texts.map(short).join(" and ")}.
      </span>
    </p>
  );
}

function verdict({ more, cases }: Finding): string {
  if (more === cases) return `Matches cost more in ${ofAll(more, cases)}`;
  if (more === 0) return `Matches cost less in ${ofAll(cases, cases)}`;
  return `Matches cost more in ${count(more)} of ${count(cases)} comparisons, less in ${count(cases - more)}`;
}

/** In how many the interval of the difference leaves no doubt. */
function surely({ surelyMore, surelyLess, more, cases }: Finding): string {
  const told = [more > 0 && count(surelyMore), more < cases && count(surelyLess)];
  return `beyond the 95 % interval in ${told.filter((one) => one !== false).join(" and ")}`;
}

function ofAll(number: number, cases: number): string {
  return number === cases && cases > 1
    ? `all ${count(cases)} comparisons`
    : `${count(number)} of ${several(cases, "comparison")}`;
}

const range = ({ low, high }: Spread) =>
  low === high ? figure(low) : `${figure(low)} to ${figure(high)}`;
