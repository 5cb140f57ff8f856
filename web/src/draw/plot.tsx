import * as Plot from "@observablehq/plot";
import { useLayoutEffect, useRef } from "preact/hooks";
import { useWidth } from "../parts/use";
import "./plot.css";

export type PlotOptions = Plot.PlotOptions;

/** A chart of Observable Plot in the page's colours, as wide as there is room. */
export function Chart(props: {
  /** What it shows, for those who do not see it. */
  label: string;
  height?: number;
  options: (width: number) => PlotOptions;
  /** Draws it anew when one of these changes. */
  on: readonly unknown[];
  testid?: string;
}) {
  const { label, height = 240, options, on } = props;
  const [outer, width] = useWidth<HTMLDivElement>();
  const inner = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    if (!inner.current || width < 60) return;
    const chart = Plot.plot({
      width,
      height,
      ...options(width),
      style: { background: "none", color: "var(--muted)", fontFamily: "inherit", fontSize: "12px" },
    });
    // Plot labels its groups, which are no names of an image's parts
    chart.setAttribute("aria-hidden", "true");
    inner.current.replaceChildren(chart);
    return () => chart.remove();
  }, [width, height, ...on]);
  return (
    <div class="chart" ref={outer} data-testid={props.testid} style={{ minHeight: `${height}px` }}>
      <div ref={inner} role="img" aria-label={label} />
    </div>
  );
}
