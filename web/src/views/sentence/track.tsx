import type { Live } from "../../data/live";
import type { Fire, Sentence } from "../../data/sentence";
import { figure, percent } from "../../draw/format";
import { FeatureChip } from "../../parts/chip";
import { changed, writeHash } from "../../state";
import type { ViewProps } from "../view";
import { strandName, wordOf } from "./names";
import { keyOf } from "./picture";
import { Steer } from "./steer";

/** A track over a sentence: how strongly it fires at each token and SAE, and what steering does. */
export function Track(
  props: ViewProps & { sentence: Sentence; live: Live | null; at: string; onClose: () => void },
) {
  const { run, state, go, sentence, at, live } = props;
  const strands = sentence.strands.flat().filter((strand) => keyOf(strand) === at);
  const best = strands.reduce((one, other) => (other.score > one.score ? other : one));
  const fires = strands.flatMap(({ nodes }) => nodes);
  const rows = [...new Set(fires.map(({ row }) => row))].sort((x, y) => y - x);
  const { site, feature, frequency, length } = best.strongest.known;
  const at_ = new Map(fires.map((fire) => [`${fire.row} ${fire.token}`, fire]));
  return (
    <section
      class="sentence-panel"
      aria-label={`${best.track === null ? "Feature" : "Track"} ${strandName(best)}`}
      data-testid="sentence-track"
    >
      <header>
        <div>
          <p class="eyebrow">
            {best.track === null ? "A feature on no track" : `A track of ${length} layers`}, on{" "}
            {strands.length} of {sentence.tokens.length - 1} tokens
          </p>
          <h2>
            <bdi>{strandName(best)}</bdi>
          </h2>
          <p class="aside">
            Open the life of{" "}
            <FeatureChip
              site={site}
              feature={feature}
              go={go}
              href={writeHash(changed(state, { view: "life", site, feature }))}
            />
            , its strongest here, which fires on {percent(frequency)} of tokens.
          </p>
        </div>
        <button type="button" class="button" onClick={props.onClose}>
          Close
        </button>
      </header>
      <div
        class="sentence-heat"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a long sentence is scrolled by keyboard
        tabIndex={0}
        role="region"
        aria-label={`Activations of ${strandName(best)}, word by word`}
      >
        <table aria-label={`Activations of ${strandName(best)} by SAE and token`}>
          <thead>
            <tr>
              <th scope="col">
                <span class="visually-hidden">SAE</span>
              </th>
              {sentence.tokens.slice(1).map((_, i) => (
                <th key={i} scope="col">
                  <bdi>{wordOf(sentence, i + 1)}</bdi>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr key={row}>
                <th scope="row">{run.short(sentence.sites[row])}</th>
                {sentence.tokens.slice(1).map((_, i) => (
                  <Cell key={i} fire={at_.get(`${row} ${i + 1}`)} />
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <Steer live={live} sentence={sentence} strand={best} />
    </section>
  );
}

function Cell({ fire }: { fire: Fire | undefined }) {
  if (!fire) return <td class="none">·</td>;
  const share = Math.min(1, fire.share);
  return (
    <td style={{ "--share": share.toFixed(3) }} title={`${percent(fire.share)} of its most`}>
      {figure(fire.activation)}
    </td>
  );
}
