/**
 * Pictures of boxes and arrows as SVG. Texts are measured: one that does not fit into its place is refused.
 *
 * @module
 */

/** Advances of printable ASCII in Helvetica, thousandths of the font's size: from the font's metrics file. */
const ADVANCES = [
  ...[278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278], // space to /
  ...[556, 556, 556, 556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556, 1015], // 0 to @
  ...[667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667],
  ...[944, 667, 667, 611, 278, 278, 278, 469, 556, 333], // W to `
  ...[556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500],
  ...[722, 500, 500, 500, 334, 260, 334, 584], // w to ~
] as const;
/** Readers may have a font that is wider than Helvetica, such as DejaVu Sans. */
const WIDEST = 1.17;
const BOLD = 1.08;
const SIZE = 13;

/** Pixels that a text takes at most. @throws {RangeError} for what is not printable ASCII. */
export function widthOf(text: string, size = SIZE, isBold = false): number {
  let sum = 0;
  for (const character of text) {
    const advance = ADVANCES[character.charCodeAt(0) - 32];
    if (advance === undefined) throw new RangeError(`Cannot measure "${character}" of "${text}"`);
    sum += advance;
  }
  return sum / 1000 * size * WIDEST * (isBold ? BOLD : 1);
}

const COLOURS = {
  client: { fill: "#e8f0fe", line: "#2f5fb3" },
  box: { fill: "#fff3d6", line: "#a86a00" },
  backend: { fill: "#e3f4e6", line: "#2c7a3d" },
  bad: { fill: "#fde7e7", line: "#b3261e" },
  plain: { fill: "#ffffff", line: "#5f6670" },
} as const;
type Colour = keyof typeof COLOURS;

interface TextOptions {
  readonly anchor?: "start" | "middle" | "end";
  readonly size?: number;
  readonly bold?: boolean;
  readonly quiet?: boolean;
  /** Pixels that it may take. Default: to the picture's edge. */
  readonly room?: number;
}

export class Picture {
  readonly #parts: string[] = [];

  /** @param title What it shows, for those who cannot see it. */
  constructor(readonly width: number, readonly height: number, readonly title: string) {}

  text(x: number, y: number, text: string, options: TextOptions = {}): this {
    const { anchor = "start", size = SIZE, bold = false, quiet = false } = options;
    const width = widthOf(text, size, bold);
    const { room = anchor === "middle" ? 2 * Math.min(x, this.width - x) : anchor === "start" ? this.width - x : x } =
      options;
    if (width > room) throw new RangeError(`"${text}" takes ${Math.ceil(width)} of ${Math.floor(room)} pixels`);
    if (y < size || y > this.height) throw new RangeError(`"${text}" is outside of the picture`);
    const weight = bold ? ' font-weight="bold"' : "";
    this.#parts.push(
      `<text x="${x}" y="${y}" font-size="${size}" text-anchor="${anchor}" fill="${
        quiet ? "#5f6670" : "#1d2126"
      }"${weight}>${escaped(text)}</text>`,
    );
    return this;
  }

  /** A box with a title and lines below it, all within it. */
  box(x: number, y: number, width: number, height: number, colour: Colour, title: string, ...lines: string[]): this {
    const { fill, line } = COLOURS[colour];
    this.#parts.push(
      `<rect x="${x}" y="${y}" width="${width}" height="${height}" rx="6" fill="${fill}" stroke="${line}" ` +
        'stroke-width="1.5"/>',
    );
    const step = SIZE + 4;
    const first = y + (height - step * (lines.length + 1)) / 2 + SIZE;
    if (first < y + SIZE) throw new RangeError(`"${title}" has more lines than its box`);
    const middle = x + width / 2;
    this.text(middle, first, title, { anchor: "middle", bold: true, room: width - 8 });
    lines.forEach((each, index) => {
      this.text(middle, first + step * (index + 1), each, { anchor: "middle", room: width - 8 });
    });
    return this;
  }

  /** An arrow with a text above its middle. */
  arrow(
    from: readonly [number, number],
    to: readonly [number, number],
    label = "",
    { dashed = false, colour = "plain" as Colour, below = false } = {},
  ): this {
    const { line } = COLOURS[colour];
    const dash = dashed ? ' stroke-dasharray="6 4"' : "";
    const angle = Math.atan2(to[1] - from[1], to[0] - from[0]);
    const head = [-0.42, 0.42].map((turn) => {
      const [x, y] = [to[0] - 10 * Math.cos(angle + turn), to[1] - 10 * Math.sin(angle + turn)];
      return `${x.toFixed(1)},${y.toFixed(1)}`;
    });
    this.#parts.push(
      `<line x1="${from[0]}" y1="${from[1]}" x2="${to[0]}" y2="${to[1]}" stroke="${line}" stroke-width="1.8"${dash}/>`,
      `<polygon points="${to[0]},${to[1]} ${head.join(" ")}" fill="${line}"/>`,
    );
    if (label === "") return this;
    const [x, y] = [(from[0] + to[0]) / 2, (from[1] + to[1]) / 2];
    const room = Math.max(Math.abs(to[0] - from[0]) - 8, 60);
    return this.text(x, below ? y + SIZE + 4 : y - 6, label, { anchor: "middle", size: 12, room });
  }

  /** A line of several points. */
  line(points: readonly (readonly [number, number])[], colour: Colour, { dashed = false, wide = 1.8 } = {}): this {
    const dash = dashed ? ' stroke-dasharray="4 4"' : "";
    const list = points.map(([x, y]) => `${x},${y}`).join(" ");
    this.#parts.push(
      `<polyline points="${list}" fill="none" stroke="${COLOURS[colour].line}" stroke-width="${wide}"${dash}/>`,
    );
    return this;
  }

  svg(): string {
    const { width, height, title } = this;
    return [
      `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" ` +
      `role="img" font-family="Helvetica, Arial, 'DejaVu Sans', sans-serif">`,
      `<title>${escaped(title)}</title>`,
      `<rect width="${width}" height="${height}" rx="8" fill="#ffffff"/>`,
      ...this.#parts,
      "</svg>",
      "",
    ].join("\n");
  }
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
