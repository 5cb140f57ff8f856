import { findingOf, reach, type Sentence } from "../../data/sentence";
import { count, several } from "../../draw/format";
import { changed, writeHash } from "../../state";
import type { ViewProps } from "../view";
import { strandName, wordOf } from "./names";
import { keyOf, span } from "./picture";

/** What a sentence shows, said in a sentence. */
export function Finding(props: ViewProps & { sentence: Sentence }) {
  const { run, state, go, sentence } = props;
  const { far, layers, longest, tracks, alone, fires } = findingOf(sentence);
  if (!longest) {
    return (
      <p class="sentence-finding" data-testid="sentence-finding">
        {count(fires)} features are told of here, and none is on a track.
      </p>
    );
  }
  const more = { token: null, at: keyOf(longest) };
  return (
    <p class="sentence-finding" data-testid="sentence-finding">
      <b>
        {several(far, "track")} {far === 1 ? "carries" : "carry"} this sentence through{" "}
        {several(layers, "layer")}
        {reach(sentence, longest) > layers && " or more"}
      </b>
      , of {count(tracks)} that fire in it. The longest,{" "}
      <a
        href={writeHash(changed(state, { more }))}
        onClick={(event) => {
          if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
          event.preventDefault();
          go({ more });
        }}
      >
        “<bdi>{strandName(longest)}</bdi>”
      </a>
      , runs {span(run, longest)} on “<bdi>{wordOf(sentence, longest.token)}</bdi>”.{" "}
      {fires > 0 && `${Math.round((100 * alone) / fires)} % of what fires is on no track.`}
    </p>
  );
}
