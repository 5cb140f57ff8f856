/** One of a few choices, beside each other. */
export function Segments<T extends string>(props: {
  label: string;
  choices: readonly { value: T; text: string; hint?: string }[];
  value: T;
  onChange: (value: T) => void;
}) {
  return (
    <div class="segments" role="radiogroup" aria-label={props.label}>
      {props.choices.map(({ value, text, hint }) => (
        <label key={value} class={value === props.value ? "chosen" : undefined} title={hint}>
          <input
            type="radio"
            name={props.label}
            checked={value === props.value}
            onChange={() => props.onChange(value)}
          />
          {text}
        </label>
      ))}
    </div>
  );
}
