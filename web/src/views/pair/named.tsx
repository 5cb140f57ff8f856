/** What names a feature: its label, where one is known. */
export type LabelOf = (site: string, feature: number) => string | null;

/** A feature in a list: its number, and what it fires on. */
export function Named(props: { feature: number; label: string | null; strong?: boolean }) {
  const { feature, label, strong } = props;
  if (feature < 0 || Number.isNaN(feature)) return <span class="muted">none</span>;
  return (
    <span class={strong ? "named strong" : "named"}>
      <span class="named-number">{feature}</span>
      {label && <bdi title={label}>{label}</bdi>}
    </span>
  );
}

/** A feature and its label as one text, for a file. */
export function namedText(feature: number, label: string | null): string {
  if (feature < 0 || Number.isNaN(feature)) return "";
  return label ? `${feature} ${label}` : String(feature);
}
