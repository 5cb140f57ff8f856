import { Fragment } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { DISAGREES, dashboardsOf } from "../../data/dashboards";
import type { Life } from "../../data/explorer";
import type { Data } from "../../data/tables";
import { figure, percent, pValue } from "../../draw/format";
import { ContextList } from "../../parts/contexts";
import { Failure } from "../../parts/notices";
import { idle, useLoaded } from "../../parts/use";
import { Dashboards } from "./dashboard";
import type { Walk } from "./track";
import "./panels.css";

/** What each feature of the track fires on, side by side, in the order of layers. */
export function Panels(props: {
  data: Data;
  track: readonly Life[];
  focus: number;
  /** A feature beside the track that is compared with the one in focus. */
  beside: Life | null;
  onClose: () => void;
  walk: Walk;
}) {
  const { beside } = props;
  const box = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const strip = box.current;
    const panel = strip?.querySelector<HTMLElement>("[aria-current]");
    if (!strip || !panel) return;
    const left = panel.offsetLeft - strip.offsetLeft - (strip.clientWidth - panel.clientWidth) / 2;
    strip.scrollTo({ left, behavior: "auto" });
  }, [props.focus]);
  const full = dashboardsOf(props.data.run) !== null;
  const focus = props.track.find((life) => life.node === props.focus);
  return (
    <>
      {full && focus && <Dashboards data={props.data} life={focus} beside={beside} />}
      {full && props.track.length > 1 && <h3 class="along">Along the track</h3>}
      <div class="panels" ref={box} role="list" aria-label="Contexts of the features on the track">
        {props.track.map((life, i) => (
          <Fragment key={life.node}>
            <Panel
              {...props}
              life={life}
              before={props.track[i - 1] ?? null}
              chosen={life.node === props.focus}
            />
            {beside && life.node === props.focus && (
              <Panel
                {...props}
                life={beside}
                before={life}
                chosen={false}
                onRemove={props.onClose}
              />
            )}
          </Fragment>
        ))}
      </div>
      {!full && (
        <p class="panel-more">
          Contexts of every strength, the next tokens that features speak for, and whether the
          contexts of a match agree: <code>saematch dashboard RUN --model M --text T</code>
        </p>
      )}
    </>
  );
}

function Panel(props: {
  data: Data;
  life: Life;
  /** The feature before it on the track, or that it is compared with. */
  before: Life | null;
  chosen: boolean;
  onRemove?: () => void;
  walk: Walk;
}) {
  const { data, life, before, chosen, onRemove, walk } = props;
  const [ref, seen] = useSeen<HTMLDivElement>();
  const contexts = useLoaded(async () => {
    if (!seen) return undefined;
    // those of the feature in focus are read first
    if (!chosen && !onRemove) await idle();
    return data.contextsAt(life.site, life.context);
  }, [life.node, seen]);
  const common = useLoaded(
    async () => (seen && before ? data.common(before, life) : null),
    [life.node, before?.node, seen],
  );
  const share = common.status === "ready" ? (common.value?.share ?? Number.NaN) : Number.NaN;
  return (
    <div
      ref={ref}
      class={chosen ? "panel chosen" : onRemove ? "panel beside" : "panel"}
      role="listitem"
      aria-current={chosen ? "true" : undefined}
      aria-label={`${life.site} ${life.feature}`}
      data-testid="context-panel"
    >
      <header>
        <button type="button" onClick={() => walk(life.site, life.feature)}>
          <bdi class="site">{life.site}</bdi> <b>{life.feature}</b>
        </button>
        {onRemove && (
          <button type="button" class="close" aria-label="Stop comparing" onClick={onRemove}>
            ×
          </button>
        )}
        <p class="panel-label">
          <bdi>{life.label ?? "–"}</bdi>
        </p>
        <p class="panel-facts">
          fires on {percent(life.frequency)}
          {!onRemove && !Number.isNaN(life.score) && (
            <>
              {" "}
              · score {figure(life.score)} · p {pValue(life.p)}
            </>
          )}
        </p>
        {!Number.isNaN(share) && (
          <p class={share < DISAGREES ? "panel-facts disagree" : "panel-facts"}>
            {percent(share)} of top contexts in common with <bdi class="site">{before?.site}</bdi>{" "}
            {before?.feature}
            {share < DISAGREES && ": they fire on different tokens"}
          </p>
        )}
      </header>
      {contexts.status === "error" && <Failure error={contexts.error} />}
      {contexts.status === "ready" &&
        (contexts.value ? (
          <ContextList contexts={contexts.value} />
        ) : contexts.value === null ? (
          <p class="panel-none">The run has no contexts of this feature.</p>
        ) : null)}
    </div>
  );
}

/** Whether an element has come near to sight. */
function useSeen<E extends Element>() {
  const ref = useRef<E>(null);
  const [seen, set] = useState(false);
  useEffect(() => {
    if (!ref.current) return;
    const observer = new IntersectionObserver(
      (entries) => {
        if (entries.some((entry) => entry.isIntersecting)) {
          set(true);
          observer.disconnect();
        }
      },
      { rootMargin: "400px" },
    );
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, []);
  return [ref, seen] as const;
}
