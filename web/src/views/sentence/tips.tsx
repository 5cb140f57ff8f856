import type { Run } from "../../data/run";
import type { Sentence, Strand } from "../../data/sentence";
import { count, figure, percent } from "../../draw/format";
import { strandName, wordOf } from "./names";

/** What is known of a strand that is pointed at: what it has at every SAE. */
export function StrandFacts(props: { run: Run; sentence: Sentence; strand: Strand }) {
  const { run, sentence, strand } = props;
  return (
    <>
      <p class="tip-title">
        {strand.track === null ? "a feature on no track" : "a track"}, on “
        <bdi>{wordOf(sentence, strand.token)}</bdi>”
      </p>
      <p class="tip-label">
        <bdi>{strandName(strand)}</bdi>
      </p>
      <dl class="tip-facts">
        {[...strand.nodes].reverse().map((fire) => (
          <>
            <dt>
              {run.short(fire.known.site)}, feature {fire.known.feature}
            </dt>
            <dd>
              {figure(fire.activation)}{" "}
              <span class="tip-note">{percent(fire.share)} of its most</span>
            </dd>
          </>
        ))}
        <dt>fires on</dt>
        <dd>{percent(strand.strongest.known.frequency)} of tokens</dd>
      </dl>
    </>
  );
}

/** What is known of a word that is pointed at. */
export function WordFacts({ sentence, token }: { sentence: Sentence; token: number }) {
  const active = sentence.active.reduce((sum, counts) => sum + counts[token], 0);
  return (
    <>
      <p class="tip-title">token {token}</p>
      <p class="tip-label">
        <bdi>{wordOf(sentence, token)}</bdi>
      </p>
      <p class="tip-note">
        {token === 0
          ? "Read, but not counted: what fires on the first token is the same in every text."
          : `${count(active)} features fire here, on ${count(sentence.strands[token].filter(({ track }) => track !== null).length)} tracks and alone. Enter lists them.`}
      </p>
    </>
  );
}
