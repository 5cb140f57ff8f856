/** Drawings as pictures: what a person sees, with what it is of, in one SVG or PNG. */

const STYLES = [
  "fill",
  "fill-opacity",
  "stroke",
  "stroke-width",
  "stroke-opacity",
  "stroke-dasharray",
  "stroke-linecap",
  "stroke-linejoin",
  "opacity",
  "font-family",
  "font-size",
  "font-weight",
  "text-anchor",
  "paint-order",
];
const SVG = "http://www.w3.org/2000/svg";
const MARGIN = 24;
const LINE = 20;

/** How a legend draws an entry. */
export type Swatch = "box" | "line" | "dot" | "ring" | "dash";

export interface Key {
  color: string;
  text: string;
  kind?: Swatch;
}

/** What a picture says besides the drawing. */
export interface Caption {
  title: string;
  /** What it is of: the model, the run, the method. */
  of: string;
  legend: readonly Key[];
}

/** All drawings within an element as they stand there, with a title above and a legend below. */
export function pictureOf(element: Element, caption: Caption): SVGSVGElement {
  const box = element.getBoundingClientRect();
  const drawings = [...element.querySelectorAll("svg, canvas")].filter(
    (part) => !part.closest("[data-export=no]") && !part.parentElement?.closest("svg"),
  );
  const boxes = drawings.map((part) => part.getBoundingClientRect());
  const [left, top] = [
    Math.min(...boxes.map((b) => b.left), box.right),
    Math.min(...boxes.map((b) => b.top), box.bottom),
  ];
  const wide = Math.max(...boxes.map((b) => b.right - left), 320);
  const tall = Math.max(...boxes.map((b) => b.bottom - top), 1);
  const head = MARGIN + 2 * LINE + 12;
  const keys = rowsOf(caption.legend, wide);
  const [width, height] = [wide + 2 * MARGIN, head + tall + keys.length * LINE + MARGIN + 8];
  const page = getComputedStyle(document.documentElement);
  const picture = made("svg", { xmlns: SVG, width, height, viewBox: `0 0 ${width} ${height}` });
  const name = made("title", {});
  name.textContent = `${caption.title}: ${caption.of}`;
  picture.append(name, made("rect", { width, height, fill: page.backgroundColor }));
  const write = (text: string, x: number, y: number, more: Attributes) =>
    picture.append(written(text, x, y, { "font-family": page.fontFamily, ...more }));
  write(caption.title, MARGIN, MARGIN + 14, {
    "font-size": 18,
    "font-weight": 600,
    fill: page.color,
  });
  write(caption.of, MARGIN, MARGIN + 36, { "font-size": 12, fill: value("--muted") });
  drawings.forEach((part, i) => {
    const at = { x: boxes[i].left - left + MARGIN, y: boxes[i].top - top + head };
    picture.append(
      part instanceof HTMLCanvasElement
        ? made("image", { ...at, ...sizeOf(boxes[i]), href: part.toDataURL() })
        : standing(part as SVGSVGElement, at, boxes[i]),
    );
  });
  keys.forEach((row, i) => {
    const y = head + tall + 18 + i * LINE;
    for (const { key, x } of row) {
      picture.append(swatch(key, MARGIN + x, y - 4));
      write(key.text, MARGIN + x + 22, y, { "font-size": 12, fill: value("--muted") });
    }
  });
  return picture;
}

// tokens may hold control characters, of which no file of XML may have one
const UNWRITABLE = /[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu;

/** A picture as text. */
export function svgText(picture: SVGSVGElement): string {
  return new XMLSerializer().serializeToString(picture).replace(UNWRITABLE, "\ufffd");
}

/** A picture as pixels, `scale` to a CSS pixel, fewer where a browser would not draw as many. */
export async function pngOf(picture: SVGSVGElement, scale = 2): Promise<Blob> {
  const [width, height] = ["width", "height"].map((name) => Number(picture.getAttribute(name)));
  const url = URL.createObjectURL(new Blob([svgText(picture)], { type: "image/svg+xml" }));
  try {
    const image = new Image();
    await new Promise((resolve, reject) => {
      image.onload = resolve;
      image.onerror = () => reject(new Error("the drawing could not be turned into pixels"));
      image.src = url;
    });
    const ratio = Math.min(scale, 16_000 / Math.max(width, height, 1));
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const context = canvas.getContext("2d");
    if (!context) throw new Error("this browser has no canvas");
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    return await new Promise((resolve, reject) =>
      canvas.toBlob((blob) =>
        blob ? resolve(blob) : reject(new Error("the picture is too large")),
      ),
    );
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** A copy of a drawing at a place, with colours and type written into it. */
function standing(svg: SVGSVGElement, at: { x: number; y: number }, box: DOMRect): SVGSVGElement {
  const copy = svg.cloneNode(true) as SVGSVGElement;
  const from = [svg, ...svg.querySelectorAll("*")];
  const to = [copy, ...copy.querySelectorAll("*")];
  from.forEach((element, i) => {
    const style = getComputedStyle(element);
    for (const name of STYLES) to[i].setAttribute(name, style.getPropertyValue(name));
    for (const name of ["style", "class", "tabindex", "role", "data-testid"]) {
      to[i].removeAttribute(name);
    }
  });
  for (const element of copy.querySelectorAll("[data-export=no], style")) element.remove();
  const viewBox = svg.getAttribute("viewBox") ?? `0 0 ${box.width} ${box.height}`;
  set(copy, { ...at, ...sizeOf(box), viewBox, overflow: "visible" });
  return copy;
}

/** Entries of a legend, row by row, with where they begin. */
function rowsOf(legend: readonly Key[], width: number): { key: Key; x: number }[][] {
  const rows: { key: Key; x: number }[][] = [];
  let x = 0;
  for (const key of legend) {
    const wide = 22 + 7 * [...key.text].length + 22;
    if (!rows.length || x + wide > width) {
      rows.push([]);
      x = 0;
    }
    rows[rows.length - 1].push({ key, x });
    x += wide;
  }
  return rows;
}

function swatch({ color, kind = "box" }: Key, x: number, y: number): SVGElement {
  const paint = color.replace(/var\((--[\w-]+)\)/g, (_, name: string) => value(name));
  if (kind === "box")
    return made("rect", { x, y: y - 5, width: 14, height: 10, rx: 2, fill: paint });
  if (kind === "dot") return made("circle", { cx: x + 7, cy: y, r: 5, fill: paint });
  const stroke = { stroke: paint, "stroke-width": 2, fill: "none" };
  if (kind === "ring") return made("circle", { cx: x + 7, cy: y, r: 4, ...stroke });
  const dash: Attributes = kind === "dash" ? { "stroke-dasharray": "4 3" } : {};
  return made("line", { x1: x, x2: x + 16, y1: y, y2: y, ...stroke, ...dash });
}

type Attributes = Record<string, string | number>;

function made<K extends keyof SVGElementTagNameMap>(name: K, attributes: Attributes) {
  const element = document.createElementNS(SVG, name);
  set(element, attributes);
  return element;
}

function written(text: string, x: number, y: number, attributes: Attributes): SVGTextElement {
  const element = made("text", { x, y, ...attributes });
  element.textContent = text;
  return element;
}

function set(element: Element, attributes: Attributes): void {
  for (const [name, given] of Object.entries(attributes)) element.setAttribute(name, String(given));
}

function sizeOf({ width, height }: DOMRect): Attributes {
  return { width, height };
}

function value(variable: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(variable).trim();
}
