import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Run } from "../../data/run";
import { widthOf } from "../../draw/measured";
import type { Layout } from "./layout";

const TALL = 46;
const NEAR = 120; // pixels from an edge of what is seen, within which the focus is scrolled to

/**
 * The drawings of a life, scrolled sideways where the layers are more than fit, and then with a
 * small picture of the whole above, which shows what part is seen and leads to any other.
 */
export function Strip(props: {
  run: Run;
  layout: Layout;
  focus: number;
  width: number;
  children: ComponentChildren;
}) {
  const { run, layout, focus, width, children } = props;
  const box = useRef<HTMLDivElement>(null);
  const [left, setLeft] = useState(0);
  const wide = layout.width > width;
  useLayoutEffect(() => {
    const here = layout.track.find(({ life }) => life.node === focus);
    const element = box.current;
    if (!element || !here) return;
    const seen = [element.scrollLeft + NEAR, element.scrollLeft + element.clientWidth - NEAR];
    if (here.x < seen[0] || here.x > seen[1]) element.scrollLeft = here.x - element.clientWidth / 2;
  }, [focus, layout]);
  useEffect(() => setLeft(box.current?.scrollLeft ?? 0), [layout]);
  const show = (share: number) => {
    const element = box.current;
    if (element) element.scrollLeft = share * layout.width - element.clientWidth / 2;
  };
  return (
    <>
      {wide && (
        <Lifeline run={run} layout={layout} focus={focus} width={width} left={left} show={show} />
      )}
      <div
        class="scrolls life-strip"
        ref={box}
        // what stays in sight is drawn as far to the right as the drawing is scrolled
        style={{ "--scrolled": `${left}px` }}
        onScroll={(event) => setLeft(event.currentTarget.scrollLeft)}
      >
        {children}
      </div>
    </>
  );
}

/** The whole track in the width there is. It repeats the drawing, so it is not read out. */
function Lifeline(props: {
  run: Run;
  layout: Layout;
  focus: number;
  width: number;
  left: number;
  show: (share: number) => void;
}) {
  const { run, layout, focus, width, left, show } = props;
  const scale = width / layout.width;
  const y = 16;
  const names = layout.columns.map(({ site }) => run.short(site));
  const widest = Math.max(...names.map((name) => widthOf(name, { size: 0.733 })));
  const every = Math.ceil((widest + 10) / Math.max(1, layout.step * scale));
  const at = (event: PointerEvent) => {
    const svg = event.currentTarget as SVGSVGElement;
    show((event.clientX - svg.getBoundingClientRect().left) / width);
  };
  return (
    <svg
      class="lifeline"
      width={width}
      height={TALL}
      aria-hidden="true"
      data-export="no"
      data-testid="lifeline"
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        at(event);
      }}
      onPointerMove={(event) => event.buttons && at(event)}
    >
      <rect
        class="seen"
        x={left * scale + 1}
        y={1}
        width={Math.max(4, width * scale - 2)}
        height={TALL - 18}
        rx={6}
      />
      {layout.columns.map(({ site, x }, i) => (
        <g key={site}>
          <line class="guide" x1={x * scale} x2={x * scale} y1={y - 7} y2={y + 7} />
          {i % every === 0 && (
            <text x={x * scale} y={TALL - 4} text-anchor="middle">
              {names[i]}
            </text>
          )}
        </g>
      ))}
      {layout.links
        .filter((link) => link.kind === "track")
        .map((link) => (
          <line
            key={link.b}
            class={link.skips > 0 ? "life skipping" : "life"}
            x1={link.from[0] * scale}
            x2={link.to[0] * scale}
            y1={y}
            y2={y}
          />
        ))}
      {layout.track.map(({ life, x }) => (
        <circle
          key={life.node}
          class={life.node === focus ? "here" : undefined}
          cx={x * scale}
          cy={y}
          r={life.node === focus ? 5 : 2.5}
        />
      ))}
    </svg>
  );
}
