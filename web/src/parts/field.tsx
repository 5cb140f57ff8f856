import type { TargetedEvent } from "preact";
import { useState } from "preact/hooks";

/**
 * A field that is heard when it is left, or when Enter is pressed.
 *
 * What is being typed stays, however often the page around it is drawn meanwhile.
 */
export function Field(props: {
  type?: "number";
  value: string | number;
  placeholder: string;
  onDone: (input: HTMLInputElement) => void;
  label?: string;
  class?: string;
  maxLength?: number;
}) {
  const { type, value, onDone, label, ...others } = props;
  const [typed, setTyped] = useState<string | null>(null);
  const its = {
    ...others,
    value: typed ?? value,
    onInput: (event: TargetedEvent<HTMLInputElement>) => setTyped(event.currentTarget.value),
    onChange: (event: TargetedEvent<HTMLInputElement>) => {
      setTyped(null);
      onDone(event.currentTarget);
    },
    // one that is as it was before is left without a change
    onBlur: () => setTyped(null),
  };
  return type === "number" ? (
    <input {...its} type="number" step="any" aria-label={label} />
  ) : (
    <input {...its} type="text" aria-label={label} />
  );
}
