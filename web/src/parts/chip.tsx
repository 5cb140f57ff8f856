import type { Go } from "../state";

/** A feature as a link to its life: its name, and its label where one is known. */
export function FeatureChip(props: {
  site: string;
  feature: number;
  label?: string | null;
  go: Go;
  href: string;
}) {
  const { site, feature, label, go, href } = props;
  return (
    <a
      class="chip"
      href={href}
      onClick={(event) => {
        if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
        event.preventDefault();
        go({ view: "life", site, feature });
      }}
    >
      <span class="chip-site" title={site}>
        {site}
      </span>
      <span class="chip-feature">{feature}</span>
      {label && (
        <bdi class="chip-label" title={label}>
          {label}
        </bdi>
      )}
    </a>
  );
}
