import { useMemo } from "preact/hooks";
import { Live } from "../data/live";
import { examplesOf, type Sentence as Read, read, recordedOf } from "../data/sentence";
import { visible } from "../data/tokens";
import { Explained } from "../parts/explained";
import { Figure } from "../parts/figure";
import { Empty, Failure, Loading } from "../parts/notices";
import { latest, useLoaded, useWidth } from "../parts/use";
import { AtToken } from "./sentence/at-token";
import { Box, How, Offered } from "./sentence/box";
import { Finding } from "./sentence/finding";
import { type Chosen, keyOf, Picture } from "./sentence/picture";
import { Track } from "./sentence/track";
import type { ViewProps } from "./view";
import "./sentence.css";

const LEGEND = [
  { color: "var(--stream)", text: "a track that is there from the first layer on" },
  { color: "var(--birth)", text: "a track that begins on the way" },
  { color: "var(--quiet)", text: "a feature at one SAE alone", kind: "dot" as const },
];

/** What fires on a sentence, token by token, from layer to layer. */
export function Sentence(props: ViewProps) {
  const { run, data, explorer, state, go } = props;
  const opened = useLoaded(() => Live.open(), []);
  const recorded = useLoaded(() => recordedOf(explorer), [explorer]);
  const live = opened.status === "ready" ? opened.value : null;
  const ready = opened.status !== "loading" && recorded.status !== "loading";
  const examples = useLoaded(
    async () =>
      live ? examplesOf(explorer, (site, feature) => data.contextsOf(explorer, site, feature)) : [],
    [explorer, live],
  );
  const known = recorded.status === "ready" ? recorded.value : [];
  const offered = [...known, ...(latest(examples) ?? [])];
  const text = state.more.text ?? offered[0] ?? null;
  const found = useLoaded(
    () => (ready && text !== null ? read(explorer, live, text) : Promise.resolve(null)),
    [explorer, live, ready, text],
  );
  const ask = (asked: string) => go({ more: { text: asked, token: null, at: null } });
  if (recorded.status === "error") return <Failure error={recorded.error} />;
  if (!ready) return <Loading what="what there is" />;
  const sentence = latest(found);
  return (
    <div class="sentence-view" data-testid="view-sentence">
      <header>
        <p class="eyebrow">
          {sentence ? (
            <>
              Read by <bdi>{visible(sentence.model)}</bdi>
              {sentence.recorded && ", recorded"}
            </>
          ) : (
            "A sentence through the model"
          )}
        </p>
        <h1 class={live ? "visually-hidden" : undefined}>
          {text === null ? (
            "A sentence through the model"
          ) : (
            <>
              “<bdi>{visible(text)}</bdi>”
            </>
          )}
        </h1>
        {live && <Box text={text ?? ""} busy={found.status === "loading"} onAsk={ask} />}
        {sentence && found.status === "ready" && <Finding {...props} sentence={sentence} />}
        {!live && <How error={opened.status === "error" ? opened.error : null} model={run.model} />}
        <Offered title={live ? "Try" : "Recorded"} texts={offered} text={text} onAsk={ask} />
      </header>
      {found.status === "error" ? (
        <p class="sentence-refused" role="alert">
          {visible(found.error.message)}
        </p>
      ) : sentence ? (
        <Shown {...props} sentence={sentence} live={live} busy={found.status === "loading"} />
      ) : found.status === "ready" && text !== null ? (
        <Empty title="This sentence was not recorded">
          Without a model the page shows the sentences that came with it
          {known.length > 0 && ", above"}.
        </Empty>
      ) : null}
    </div>
  );
}

function Shown(props: ViewProps & { sentence: Read; live: Live | null; busy: boolean }) {
  const { run, state, go, sentence, live, busy } = props;
  const [box, width] = useWidth<HTMLDivElement>();
  const chosen = useMemo(() => chosenIn(sentence, state.more), [sentence, state.more]);
  const choose = (token: number | null, at: string | null) => go({ more: { token, at } });
  return (
    <div class={busy ? "sentence-shown busy" : "sentence-shown"} aria-busy={busy}>
      <Figure
        name="sentence"
        title={`“${visible(sentence.text)}”`}
        level={0}
        legend={LEGEND}
        aside={
          <p class="aside sentence-reading">
            Words from left to right, layers from the first one up. A flame is a{" "}
            <Explained term="track">track</Explained>, at each layer as wide as it fires, of the
            most it is known to. Shown by name are those that{" "}
            <Explained term="say most">say most</Explained>.
          </p>
        }
      >
        <div ref={box}>
          {width > 0 && (
            <Picture
              key={sentence.text}
              run={run}
              sentence={sentence}
              chosen={chosen}
              width={width}
              onToken={(token) => choose(token === chosen.token ? null : token, null)}
              onStrand={(strand) =>
                choose(null, keyOf(strand) === chosen.at ? null : keyOf(strand))
              }
              onNone={() => choose(null, null)}
            />
          )}
        </div>
      </Figure>
      {chosen.token !== null && (
        <AtToken {...props} token={chosen.token} onClose={() => choose(null, null)} />
      )}
      {chosen.at !== null && (
        <Track
          {...props}
          key={chosen.at}
          at={chosen.at}
          onClose={() => choose(null, null)}
          live={live}
        />
      )}
    </div>
  );
}

/** What the URL names, where the sentence has it. */
function chosenIn(sentence: Read, more: Readonly<Record<string, string>>): Chosen {
  const token = /^\d+$/.test(more.token ?? "") ? Number(more.token) : null;
  if (token !== null && token < sentence.tokens.length) return { token, at: null };
  const at = more.at ?? null;
  const there = at !== null && sentence.strands.flat().some((strand) => keyOf(strand) === at);
  return { token: null, at: there ? at : null };
}
