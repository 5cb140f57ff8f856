import { useLayoutEffect, useState } from "preact/hooks";
import { visible } from "../../data/tokens";

const LONGEST = 2000; // characters: the model takes no more tokens than it says

/** Where a sentence is typed: it stands there as the heading of what is drawn. */
export function Box(props: { text: string; busy: boolean; onAsk: (text: string) => void }) {
  const { text, busy, onAsk } = props;
  const [typed, type] = useState<string | null>(null);
  useLayoutEffect(() => type(null), [text]);
  const value = typed ?? text;
  const send = () => {
    if (value.trim()) onAsk(value);
  };
  return (
    <form
      class="sentence-box"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <textarea
        rows={1}
        maxLength={LONGEST}
        value={value}
        aria-label="A sentence for the model to read"
        placeholder="Type a sentence"
        spellcheck={false}
        data-testid="sentence-text"
        onInput={(event) => type(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
          event.preventDefault();
          send();
        }}
      />
      <button
        type="submit"
        class="button primary"
        disabled={!value.trim()}
        data-testid="sentence-read"
      >
        {busy ? "Reading …" : "Read"}
      </button>
    </form>
  );
}

/** How to get a model, where none runs beside the page. */
export function How({ error, model }: { error: Error | null; model: string }) {
  return (
    <p class="sentence-how" data-testid="sentence-how">
      {error ? `${visible(error.message)} ` : "No model runs beside this page. "}
      To type sentences of your own and steer them, on your machine:{" "}
      <code>saematch explore RUN --model {modelName(model)}</code>
    </p>
  );
}

/** Sentences to choose. */
export function Offered(props: {
  title: string;
  texts: readonly string[];
  text: string | null;
  onAsk: (text: string) => void;
}) {
  if (!props.texts.length) return null;
  return (
    <p class="sentence-offered">
      <span>{props.title}</span>
      {props.texts.map((one) => (
        <button
          key={one}
          type="button"
          class={one === props.text ? "chosen" : undefined}
          aria-pressed={one === props.text}
          onClick={() => props.onAsk(one)}
          data-testid="sentence-offered"
        >
          <bdi>{visible(one)}</bdi>
        </button>
      ))}
    </p>
  );
}

/** What to give as --model. */
function modelName(model: string): string {
  if (model === "saematch/demo-gpt2-6l") return "saematch:model"; // which comes with saematch
  return model && !model.includes(",") ? visible(model) : "NAME";
}
