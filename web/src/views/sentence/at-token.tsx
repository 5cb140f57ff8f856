import { useMemo } from "preact/hooks";
import type { Fire, Sentence } from "../../data/sentence";
import { count, figure, percent } from "../../draw/format";
import { FeatureChip } from "../../parts/chip";
import { type ColumnOf, Table } from "../../parts/table";
import { changed, writeHash } from "../../state";
import type { ViewProps } from "../view";
import { wordOf } from "./names";

/** All that fires on a token, SAE by SAE. */
export function AtToken(
  props: ViewProps & { sentence: Sentence; token: number; onClose: () => void },
) {
  const { run, state, go, sentence, token } = props;
  const fires = useMemo(
    () =>
      sentence.fires
        .filter((fire) => fire.token === token)
        .sort((x, y) => x.row - y.row || y.activation - x.activation),
    [sentence, token],
  );
  const active = sentence.active.reduce((sum, counts) => sum + counts[token], 0);
  const columns: ColumnOf<Fire>[] = [
    {
      key: "feature",
      title: "feature",
      width: "16em",
      show: ({ known: { site, feature } }) => (
        <FeatureChip
          site={site}
          feature={feature}
          go={go}
          href={writeHash(changed(state, { view: "life", site, feature }))}
        />
      ),
      text: ({ known }) => `${known.site}/${known.feature}`,
    },
    {
      key: "label",
      title: "fires on",
      width: "14em",
      grows: true,
      show: ({ known }) => <bdi>{known.label ?? "–"}</bdi>,
      text: ({ known }) => known.label,
    },
    {
      key: "activation",
      title: "activation",
      numeric: true,
      width: "7em",
      show: (fire) => figure(fire.activation),
      text: (fire) => fire.activation,
    },
    {
      key: "share",
      title: sentence.shares === "known" ? "of its most" : "of the most here",
      numeric: true,
      width: "8em",
      show: (fire) => percent(fire.share),
      text: (fire) => fire.share,
    },
    {
      key: "frequency",
      title: "frequency",
      numeric: true,
      width: "7em",
      show: ({ known }) => percent(known.frequency),
      text: ({ known }) => (Number.isNaN(known.frequency) ? null : known.frequency),
    },
    {
      key: "track",
      title: "track",
      numeric: true,
      width: "7em",
      show: ({ known }) => (known.track === null ? "–" : `${known.length} layers`),
      text: ({ known }) => known.track,
    },
  ];
  return (
    <section
      class="sentence-panel"
      aria-label={`What fires on ${wordOf(sentence, token)}`}
      data-testid="sentence-at"
    >
      <header>
        <h2>
          What fires on “<bdi>{wordOf(sentence, token)}</bdi>”
        </h2>
        <button type="button" class="button" onClick={props.onClose}>
          Close
        </button>
      </header>
      {token === 0 ? (
        <p class="aside">
          The first token is read but not counted: what fires on it is the same in every text.
        </p>
      ) : (
        <>
          <p class="aside">
            {count(active)} features fire
            {active > fires.length &&
              `; listed are the ${sentence.most} strongest of each SAE, ${count(fires.length)} in all`}
            . By SAE:{" "}
            {sentence.sites
              .map((site, row) => `${run.short(site)} ${sentence.active[row][token]}`)
              .join(", ")}
            .
          </p>
          <Table
            name="sentence-token"
            label={`Features that fire on ${wordOf(sentence, token)}`}
            columns={columns}
            count={fires.length}
            row={(i) => fires[i]}
            onOpen={({ known }) =>
              go({
                more: {
                  token: null,
                  at: known.track === null ? `n${known.node}` : `t${known.track}`,
                },
              })
            }
            height={420}
          />
        </>
      )}
    </section>
  );
}
