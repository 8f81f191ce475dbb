/** Lines over time, drawn by uPlot (a global of its own script). */
import { make, setText } from "./dom.js";
import * as format from "./format.js";
import { colour, onTheme, PALETTE_SIZE, paletteColour } from "./theme.js";

/** Colour is never the only difference between two lines. */
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [5, 3], [14, 4], [1, 4], [6, 2, 2, 2]];
const FONT = "12px system-ui, sans-serif";

/** A chart of several lines with a legend below that shows the newest values, or those under the pointer. */
export class LineChart {
  #chart;
  #lines = [];
  #data = [[]];
  #width = 0;

  constructor(element, legend, title) {
    this.element = element;
    this.legend = legend;
    this.title = title;
    onTheme(() => this.#build());
    new ResizeObserver(() => this.#resize()).observe(element);
  }

  /**
   * @param times Seconds since 1970.
   * @param lines Each { label, colourIndex, values }.
   */
  show(times, lines) {
    const same = this.#chart !== undefined && lines.length === this.#lines.length &&
      lines.every(({ label, colourIndex }, at) =>
        label === this.#lines[at].label && colourIndex === this.#lines[at].colourIndex
      );
    this.#lines = lines;
    this.#data = [times, ...lines.map(({ values }) => values)];
    if (same) this.#chart.setData(this.#data);
    else this.#build();
    this.#fillLegend(this.#chart?.cursor.idx ?? times.length - 1);
    const now = lines.map(({ label, values }) => `${label} ${format.rate(values.at(-1) ?? 0)}`);
    this.element.setAttribute("aria-label", `${this.title}, now: ${now.join(", ") || "nothing"}`);
  }

  #build() {
    this.#chart?.destroy();
    this.#width = this.element.clientWidth;
    const axis = { stroke: colour("--quiet"), font: FONT, ticks: { show: false } };
    const grid = { stroke: colour("--grid"), width: 1 };
    this.#chart = new globalThis.uPlot(
      {
        width: this.#width,
        height: this.element.clientHeight,
        padding: [8, 26, 0, 0],
        legend: { show: false },
        cursor: { y: false, points: { size: 7 }, drag: { x: false, y: false } },
        scales: { y: { range: (_, __, max) => [0, Math.max(10, max * 1.1)] } },
        axes: [
          {
            ...axis,
            size: 30,
            grid: { show: false },
            values: (_, ticks) => ticks.map((time) => axisTime(time)),
            space: 70,
          },
          { ...axis, grid, size: 58, values: (_, ticks) => ticks.map((value) => axisRate(value)), space: 34 },
        ],
        series: [
          {},
          ...this.#lines.map(({ label, colourIndex }) => ({
            label,
            stroke: paletteColour(colourIndex),
            width: 2,
            dash: DASHES[colourIndex % PALETTE_SIZE],
            points: { show: false },
          })),
        ],
        hooks: { setCursor: [({ cursor }) => this.#fillLegend(cursor.idx ?? this.#data[0].length - 1)] },
      },
      this.#data,
      this.element,
    );
    this.#fillLegend(this.#data[0].length - 1);
  }

  #resize() {
    if (this.#chart === undefined || this.element.clientWidth === this.#width) return;
    this.#width = this.element.clientWidth;
    this.#chart.setSize({ width: this.#width, height: this.element.clientHeight });
  }

  #fillLegend(at) {
    while (this.legend.children.length > this.#lines.length) this.legend.lastElementChild.remove();
    this.#lines.forEach(({ label, colourIndex, values }, index) => {
      let item = this.legend.children[index];
      if (item === undefined) {
        item = make("li");
        item.append(sample(), make("span"), make("b"));
        this.legend.append(item);
      }
      const [key, name, value] = item.children;
      const line = key.firstElementChild;
      line.style.stroke = paletteColour(colourIndex);
      line.style.strokeDasharray = DASHES[colourIndex % PALETTE_SIZE].join(" ");
      setText(name, label);
      setText(value, format.rate(values[at] ?? 0));
    });
  }
}

function sample() {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
  for (const [name, value] of Object.entries({ x1: 0, x2: 26, y1: 4, y2: 4, "stroke-width": 2.5 })) {
    line.setAttribute(name, value);
  }
  svg.setAttribute("viewBox", "0 0 26 8");
  svg.setAttribute("class", "dash");
  svg.setAttribute("aria-hidden", "true");
  svg.append(line);
  return svg;
}

function axisRate(value) {
  return value >= 1000 ? format.short(value).replace(/\.?0+ /, " ") : `${value}`;
}

function axisTime(seconds) {
  const text = format.clock(seconds * 1000);
  return text.endsWith(":00") ? text.slice(0, 5) : text;
}
