import type { ComponentChildren } from "preact";
import { type Matches, TOGETHER } from "../../data/matches";
import { notesOf, SCORES } from "../../data/methods";
import { type Pair, testedOf } from "../../data/run";
import { count, figure, percent } from "../../draw/format";
import { Explained } from "../../parts/explained";

/** What became of the features of A in B, in a few sentences. */
export function Head({ pair, matches }: { pair: Pair; matches: Matches }) {
  const { a, b, summary } = pair;
  const notes = notesOf(pair.notes);
  return (
    <header class="pair-head">
      <h1>
        <bdi class="site">{a}</bdi>{" "}
        <span role="img" aria-label="to">
          →
        </span>{" "}
        <bdi class="site">{b}</bdi>
      </h1>
      <p class="finding" data-testid="pair-finding">
        <Finding pair={pair} matches={matches} />
      </p>
      {notes.first.map((note) => (
        <p key={note} class="finding warned">
          {note}
        </p>
      ))}
      <details class="pair-notes">
        <summary>How they were matched</summary>
        <p>{SCORES[summary.method] ?? `They were matched by the method ${summary.method}.`}</p>
        {notes.rest.length > 0 && (
          <>
            <p>Notes of the run:</p>
            <ul>
              {notes.rest.map((note) => (
                <li key={note}>{note}</li>
              ))}
            </ul>
          </>
        )}
      </details>
    </header>
  );
}

function Finding({ pair, matches }: { pair: Pair; matches: Matches }) {
  const { summary } = pair;
  const used = summary.features_a - summary.excluded_a;
  const tested = testedOf(summary);
  const together = togetherOf(matches);
  const said: ComponentChildren[] = [
    <>
      <b>{percent(used ? summary.matched / used : null)}</b> of the features have a{" "}
      <Explained term="match">match</Explained>: {count(summary.matched)} of {count(used)}.
    </>,
  ];
  if (tested.median !== null) {
    said.push(
      <>
        Their median <Explained term={tested.name}>{tested.name}</Explained> is{" "}
        <b>{figure(tested.median)}</b>
        {tested.chance !== null && <>, by chance {figure(tested.chance)}</>}.
      </>,
    );
  }
  if (together) {
    said.push(
      <>
        <b>{count(together.fire)}</b> of them fire together, at a{" "}
        <Explained term="correlation">correlation</Explained> of {TOGETHER} or more.
      </>,
    );
  }
  if (summary.mutual_share !== null) {
    said.push(
      <>
        {percent(summary.mutual_share)} are{" "}
        <Explained term="each other’s best">each other’s best</Explained>.
      </>,
    );
  }
  return (
    <>
      {said.map((sentence, i) => (
        <span key={i}>{sentence} </span>
      ))}
    </>
  );
}

/** How many matches fire together; null where the run knows no correlations. */
function togetherOf(matches: Matches): { fire: number } | null {
  const { pearson, matched } = matches;
  if (!pearson) return null;
  return { fire: pearson.filter((value, i) => matched[i] && value >= TOGETHER).length };
}
