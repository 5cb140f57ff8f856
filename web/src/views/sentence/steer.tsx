import { useState } from "preact/hooks";
import type { Asking, Live, Steered } from "../../data/live";
import type { Sentence, Strand } from "../../data/sentence";
import { visible } from "../../data/tokens";
import { minus } from "../../draw/format";
import { Segments } from "../../parts/segments";

const TOKENS = 24; // that are written
/** Of the largest activation: what is added at every layer adds up. */
const STRENGTHS = {
  layer: { usual: 1, most: 2, step: 0.1 },
  track: { usual: 0.1, most: 0.5, step: 0.02 },
} as const;

/** The model goes on from the sentence, as it is and with a track added or taken away. */
export function Steer(props: { live: Live | null; sentence: Sentence; strand: Strand }) {
  const { live, sentence, strand } = props;
  const [how, setHow] = useState<Asking["how"]>("add");
  const [along, setAlong] = useState<Asking["along"]>(strand.track === null ? "layer" : "track");
  const scale = STRENGTHS[along];
  const [told, setStrength] = useState<number | null>(null);
  const strength = told ?? scale.usual;
  const [seed, setSeed] = useState(0);
  const [found, set] = useState<{ asked: Asking; answer: Steered } | null>(null);
  const [error, setError] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  if (!live?.about.steers) {
    return live ? null : (
      <p class="aside">
        Steering needs the model beside the page: <code>saematch explore RUN --model NAME</code>.
      </p>
    );
  }
  const ask = async (again: number) => {
    const { site, feature } = strand.strongest.known;
    const asked: Asking = {
      ...{ text: sentence.text, feature: `${site}/${feature}`, along, how, seed: again },
      tokens: Math.min(TOKENS, live.about.new_tokens),
      strength: how === "remove" ? null : strength,
    };
    setBusy(true);
    setError(null);
    try {
      set({ asked, answer: await live.steer(asked) });
    } catch (why) {
      setError((why as Error).message);
    }
    setSeed(again);
    setBusy(false);
  };
  return (
    <div class="sentence-steer" data-testid="sentence-steer">
      <h3>Steer</h3>
      <form
        class="steer-form"
        onSubmit={(event) => {
          event.preventDefault();
          ask(seed);
        }}
      >
        <Segments
          label="What is done"
          value={how}
          choices={[
            { value: "add", text: "add it" },
            { value: "remove", text: "remove it" },
          ]}
          onChange={setHow}
        />
        {strand.track !== null && (
          <Segments
            label="Where"
            value={along}
            choices={[
              { value: "track", text: "at all its layers" },
              { value: "layer", text: "where it is strongest" },
            ]}
            onChange={(where) => {
              setAlong(where);
              setStrength(null);
            }}
          />
        )}
        {how === "add" && (
          <label class="steer-strength">
            strength
            <input
              type="range"
              min={-scale.most}
              max={scale.most}
              step={scale.step}
              value={strength}
              aria-valuetext={`${strength} times its largest activation`}
              data-testid="steer-strength"
              onInput={(event) => setStrength(Number(event.currentTarget.value))}
            />
            <output>{minus(strength.toFixed(2))} × its largest activation</output>
          </label>
        )}
        <button type="submit" class="button primary" disabled={busy} data-testid="steer-go">
          {busy ? "Writing …" : "Go on from the sentence"}
        </button>
        {found && (
          <button type="button" class="button" disabled={busy} onClick={() => ask(seed + 1)}>
            Other draws
          </button>
        )}
      </form>
      {error && (
        <p class="sentence-refused" role="alert">
          {visible(error)}
        </p>
      )}
      {found && <Both {...found} />}
    </div>
  );
}

/** Both continuations, beside each other, with where they part. */
function Both({ asked, answer }: { asked: Asking; answer: Steered }) {
  const { plain, steered, differs } = answer;
  return (
    <div class="steer-both" role="status" data-testid="steer-both">
      <Text title="The model as it is" before={answer.text} pieces={plain} differs={differs} />
      <Text
        title={
          asked.how === "remove"
            ? "Without it"
            : `With it, ${minus((asked.strength ?? 0).toFixed(2))} × its largest activation`
        }
        before={answer.text}
        pieces={steered}
        differs={differs}
      />
      <p class="aside">
        {differs === null
          ? "Both are the same: here it changes nothing that is said."
          : `They part at token ${differs + 1}. Both are drawn by the same random numbers.`}
      </p>
    </div>
  );
}

function Text(props: { title: string; before: string; pieces: string[]; differs: number | null }) {
  const { title, before, pieces, differs } = props;
  const parts = differs ?? pieces.length;
  return (
    <section aria-label={title}>
      <h4>{title}</h4>
      <p dir="auto">
        <span class="steer-before">{visible(before)}</span>
        {visible(pieces.slice(0, parts).join(""))}
        {differs !== null && pieces.length > parts && (
          <>
            <mark>{visible(pieces[parts])}</mark>
            <span class="steer-after">{visible(pieces.slice(parts + 1).join(""))}</span>
          </>
        )}
      </p>
    </section>
  );
}
