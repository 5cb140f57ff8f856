import * as Plot from "@observablehq/plot";
import { useState } from "preact/hooks";
import {
  type Common,
  type Dashboard,
  DISAGREES,
  dashboardsOf,
  type Logit,
  type Promoted,
  type Quantile,
  seenOf,
  type TextSet,
} from "../../data/dashboards";
import type { Life } from "../../data/explorer";
import type { Data } from "../../data/tables";
import { shortened, visible } from "../../data/tokens";
import { count, figure, percent, several } from "../../draw/format";
import { Chart } from "../../draw/plot";
import { PassageList, plain } from "../../parts/contexts";
import { Explained } from "../../parts/explained";
import { Figure } from "../../parts/figure";
import { Failure } from "../../parts/notices";
import { Segments } from "../../parts/segments";
import { latest, useLoaded } from "../../parts/use";
import "./dashboard.css";

/** What the feature in focus does on text, in full; beside it another that it is compared with. */
export function Dashboards(props: { data: Data; life: Life; beside: Life | null }) {
  const { data, life, beside } = props;
  const [chosen, choose] = useState("top");
  const loaded = useLoaded(async () => {
    const [own, its, common] = await Promise.all([
      data.dashboard(life.site, life.feature),
      beside ? data.dashboard(beside.site, beside.feature) : null,
      beside ? data.common(life, beside) : null,
    ]);
    const significant = common && beside ? await matched(data, life, beside) : false;
    return { life, beside, own, its, common, significant };
  }, [life.node, beside?.node]);
  if (loaded.status === "error") return <Failure error={loaded.error} />;
  const shown = latest(loaded);
  const texts = dashboardsOf(data.run)?.texts ?? [];
  if (!shown?.own) return null;
  const { own, its, common } = shown;
  const both = shown.beside && its;
  return (
    <div class="dashboards" data-testid="dashboards" aria-busy={loaded.status === "loading"}>
      {shown.beside && its && (
        <InCommon
          one={shown.life}
          other={shown.beside}
          own={own}
          its={its}
          common={common}
          significant={shown.significant}
        />
      )}
      <div class={both ? "dashes both" : "dashes"}>
        <Dash
          life={shown.life}
          dashboard={own}
          texts={texts}
          chosen={chosen}
          onChoose={choose}
          other={its && othersIn(own, its, common?.there)}
          heading={both !== null}
        />
        {shown.beside && its && (
          <Dash
            life={shown.beside}
            dashboard={its}
            texts={texts}
            chosen={chosen}
            onChoose={choose}
            other={othersIn(its, own, common?.here)}
            heading
          />
        )}
      </div>
    </div>
  );
}

type Others = (quantile: Quantile) => number[];

/** What another feature does at the strongest token of each passage: NaN is not known. */
function othersIn(dashboard: Dashboard, other: Dashboard, exact?: readonly number[]): Others {
  const seen = seenOf(other);
  return (quantile) =>
    quantile.contexts.map((passage, i) =>
      quantile === dashboard.top && exact
        ? (exact[i] ?? Number.NaN)
        : (seen.get(passage.place) ?? Number.NaN),
    );
}

/** Whether the run accepts two features as a match. */
async function matched(data: Data, one: Life, other: Life): Promise<boolean> {
  const along = await data.match(one.site, other.site, one.feature);
  if (along?.target === other.feature) return along.matched;
  const back = await data.match(other.site, one.site, other.feature);
  return back?.target === one.feature && back.matched;
}

/** Whether two features fire in the same contexts, in words. */
function InCommon(props: {
  one: Life;
  other: Life;
  own: Dashboard;
  its: Dashboard;
  common: Common | null;
  significant: boolean;
}) {
  const { one, other, own, its, common, significant } = props;
  const fires = (values: readonly number[]) => values.filter((value) => value !== 0).length;
  const name = (life: Life) => (
    <>
      <bdi class="site">{life.site}</bdi> {life.feature}
    </>
  );
  if (!common) {
    const there = own.top ? othersIn(own, its)(own.top) : [];
    const known = there.filter((value) => !Number.isNaN(value) && value !== 0).length;
    return (
      <p class="in-common" data-testid="in-common">
        In {count(known)} of {count(there.length)} top contexts of {name(one)} {name(other)} is
        known to fire too. The run does not match the two: only contexts that are shown of both are
        compared.
      </p>
    );
  }
  const disagree = significant && common.share < DISAGREES;
  return (
    <div class={disagree ? "in-common disagree" : "in-common"} data-testid="in-common">
      <p>
        <Explained term="contexts in common">
          <b>
            {count(fires(common.there))} of {count(common.there.length)} top contexts are shared
          </b>
        </Explained>
        : in those of {name(one)} {name(other)} fires too. The other way round,{" "}
        {count(fires(common.here))} of {count(common.here.length)}.
      </p>
      {disagree && (
        <p data-testid="disagree">
          <b>The contexts of this match disagree.</b> It is significant by what it was matched on,
          yet on these texts its two features mostly fire on different tokens (
          {percent(common.share)} in common).
        </p>
      )}
    </div>
  );
}

function Dash(props: {
  life: Life;
  dashboard: Dashboard;
  texts: readonly TextSet[];
  chosen: string;
  onChoose: (value: string) => void;
  other: Others | null;
  heading: boolean;
}) {
  const { life, dashboard, texts, other, onChoose, heading } = props;
  const name = `${life.site} ${life.feature}`;
  const choices = [
    ...(dashboard.top ? [{ value: "top", text: "strongest", quantile: dashboard.top }] : []),
    ...dashboard.intervals.map((quantile, i) => ({
      value: String(i),
      text: `${figure(quantile.low)}–${figure(quantile.high)}`,
      quantile,
    })),
  ];
  const chosen = choices.find((choice) => choice.value === props.chosen) ?? choices[0];
  return (
    <article class="dash" aria-label={`Dashboard of ${name}`} data-testid="dash">
      {heading && (
        <header class="dash-head">
          <p class="eyebrow">
            <bdi class="site">{life.site}</bdi> <b>{life.feature}</b>
          </p>
          <h3>
            <bdi>{life.label ?? "–"}</bdi>
          </h3>
          {life.labelSource !== null && (
            <p class="dash-note">
              label: <bdi>{life.labelSource}</bdi>
            </p>
          )}
        </header>
      )}
      {chosen ? (
        <div class="dash-contexts">
          <div class="dash-choice">
            <Explained term="intervals">by activation</Explained>
            <div class="scrolls">
              <Segments
                label={`Contexts of ${name} by activation`}
                value={chosen.value}
                choices={choices.map(({ value, text, quantile }) => ({
                  value,
                  text,
                  hint: value === "top" ? "the strongest" : several(quantile.count, "token"),
                }))}
                onChange={onChoose}
              />
            </div>
          </div>
          <p class="dash-note">
            {chosen.value === "top"
              ? `The strongest of ${several(chosen.quantile.count, "example")}, each after other words.`
              : chosen.quantile.contexts.length
                ? `${count(chosen.quantile.contexts.length)} drawn of ${several(chosen.quantile.count, "token")} between ${chosen.text}.`
                : chosen.quantile.count
                  ? `${several(chosen.quantile.count, "token")} between ${chosen.text}, all in passages that other intervals show.`
                  : `It never fires between ${chosen.text}.`}
          </p>
          <PassageList
            key={`${life.node} ${chosen.value}`}
            label={`Contexts of ${name}`}
            passages={chosen.quantile.contexts}
            max={dashboard.max}
            texts={texts.map((text) => text.name)}
            other={other?.(chosen.quantile)}
          />
        </div>
      ) : (
        <p class="dash-note">It fires on no token of these texts.</p>
      )}
      <div class="dash-facts">
        {chosen && <Histogram life={life} dashboard={dashboard} chosen={chosen.value} />}
        <Frequencies dashboard={dashboard} texts={texts} />
      </div>
      {dashboard.logits && <Logits logits={dashboard.logits} carried={dashboard.carried} />}
    </article>
  );
}

function Histogram(props: { life: Life; dashboard: Dashboard; chosen: string }) {
  const { life, dashboard, chosen } = props;
  const { histogram, max } = dashboard;
  const width = max / histogram.length;
  const total = histogram.reduce((sum, n) => sum + n, 0);
  const interval = dashboard.intervals[Number(chosen)];
  const bars = histogram.map((tokens, i) => {
    const middle = (i + 0.5) * width;
    const inside = interval ? middle > interval.low && middle < interval.high : false;
    return { from: i * width, to: (i + 1) * width, tokens, inside };
  });
  const told = (bar: (typeof bars)[number]) =>
    `${several(bar.tokens, "token")}\n${figure(bar.from)} to ${figure(bar.to)}`;
  return (
    <Figure
      name={`activations-${life.site}-${life.feature}`}
      title="How strongly it fires"
      level={3}
      legend={
        interval
          ? [{ color: "var(--accent)", text: `${figure(interval.low)}–${figure(interval.high)}` }]
          : []
      }
    >
      <Chart
        testid="histogram"
        label={`${several(total, "token")} by activation, from 0 to ${figure(max)}`}
        height={170}
        on={[dashboard, chosen]}
        options={() => ({
          marginLeft: 46,
          marginRight: 6,
          x: { label: "activation →", domain: [0, max], nice: false },
          y: { label: "↑ tokens (square root)", type: "sqrt", ticks: 4, tickFormat: "~s" },
          marks: [
            Plot.rectY(bars, {
              x1: "from",
              x2: "to",
              y: "tokens",
              insetLeft: 0.5,
              insetRight: 0.5,
              fill: (bar) => (!interval || bar.inside ? "var(--accent)" : "var(--line)"),
            }),
            Plot.ruleY([0], { stroke: "var(--line)" }),
            Plot.tip(
              bars,
              Plot.pointerX({
                x: (bar) => (bar.from + bar.to) / 2,
                y: "tokens",
                title: told,
              }),
            ),
          ],
        })}
      />
    </Figure>
  );
}

function Frequencies({ dashboard, texts }: { dashboard: Dashboard; texts: readonly TextSet[] }) {
  const most = Math.max(...dashboard.frequency, 1e-12);
  return (
    <div>
      <h3>How often, by text set</h3>
      <dl class="bars" data-testid="frequencies">
        {texts.map((text, i) => (
          <div key={text.name}>
            <dt>
              <bdi>{plain(text.name)}</bdi>, {several(text.tokens, "token")}
            </dt>
            <dd>
              <Bar share={(dashboard.frequency[i] ?? 0) / most} />
              <span>{percent(dashboard.frequency[i])}</span>
            </dd>
          </div>
        ))}
      </dl>
    </div>
  );
}

function Logits({ logits, carried }: { logits: Promoted; carried: Promoted | null }) {
  return (
    <div class="dash-logits">
      <div>
        <h3>
          <Explained term="speaks for">Next tokens it speaks for, directly</Explained>
        </h3>
        <Sides of={logits} kind="logits" />
      </div>
      {carried && (
        <div>
          <h3>
            <Explained term="at the last layer">As it arrives at the last layer</Explained>
          </h3>
          <Sides of={carried} kind="carried" />
        </div>
      )}
    </div>
  );
}

function Sides({ of, kind }: { of: Promoted; kind: string }) {
  return (
    <div class="sides">
      <Side title="for" logits={of.top} testid={`${kind}-top`} />
      <Side title="against" logits={of.bottom} testid={`${kind}-bottom`} />
    </div>
  );
}

function Side(props: { title: "for" | "against"; logits: readonly Logit[]; testid: string }) {
  const { title, logits, testid } = props;
  const most = Math.max(...logits.map(({ logit }) => Math.abs(logit)), 1e-12);
  return (
    <div class={`side ${title}`}>
      <h4>{title}</h4>
      <ol data-testid={testid}>
        {logits.map(({ token, logit }, i) => (
          <li key={i}>
            <Bar share={Math.abs(logit) / most} />
            <bdi class="word">{wordOf(token)}</bdi>
            <span class="value">{figure(logit)}</span>
          </li>
        ))}
      </ol>
    </div>
  );
}

function Bar({ share }: { share: number }) {
  return <span class="bar-of" style={{ "--of": share.toFixed(3) }} aria-hidden="true" />;
}

/** A token by itself, with the spaces around it. */
function wordOf(token: string): string {
  const spaced = token.replace(/^ +| +$/g, (spaces) => "␣".repeat(spaces.length));
  return visible(shortened(spaced, 24, "beginning")) || "·";
}
