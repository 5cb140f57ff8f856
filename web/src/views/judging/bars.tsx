import { type Case, GRADES, type Grade, tallyOf } from "../../data/judging";
import { count, percent } from "../../draw/format";

const ROOM = 0.13; // share of a bar from which on its count has room

export interface Row {
  key: string;
  title: string;
  cases: readonly Case[];
  /** What the list of cases is narrowed to. */
  only: { kind: string; pair: string | null };
}

/** A bar per row: how many of its cases a judge calls same, maybe, different. */
export function Bars(props: {
  rows: readonly Row[];
  judge: string;
  onOpen: (only: Row["only"], grade: Grade) => void;
  /** Titles are sentences: above the bars where there is little room. */
  long?: boolean;
  testid: string;
}) {
  const { rows, judge, onOpen, long, testid } = props;
  const shown = rows
    .map((row) => ({ ...row, tally: tallyOf(row.cases, judge) }))
    .filter(({ tally }) => tally.graded + tally.ungraded > 0);
  if (!shown.length) return <p class="aside">{judge} was not asked about these.</p>;
  return (
    <ul class={long ? "grade-bars long" : "grade-bars"} data-testid={testid}>
      {shown.map(({ key, title, only, tally }) => (
        <li key={key}>
          <span class="grade-title">{title}</span>
          <span class="grade-bar">
            {GRADES.map((grade) => {
              const number = tally[grade];
              if (!number) return null;
              const share = number / tally.graded;
              const said = `${title}: ${count(number)} ${grade} of ${count(tally.graded)}, ${percent(share)}`;
              return (
                <button
                  key={grade}
                  type="button"
                  class={grade}
                  style={{ flexGrow: number }}
                  title={`${said}; list them`}
                  aria-label={`${said}; list them`}
                  onClick={() => onOpen(only, grade)}
                >
                  {share >= ROOM ? count(number) : ""}
                </button>
              );
            })}
          </span>
          <span
            class="grade-of"
            title={
              tally.ungraded
                ? `${count(tally.graded)} graded, ${count(tally.ungraded)} that the judge could not grade`
                : `${count(tally.graded)} graded`
            }
          >
            {count(tally.graded)}
          </span>
        </li>
      ))}
    </ul>
  );
}
