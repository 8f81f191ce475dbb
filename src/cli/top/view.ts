/**
 * What the viewer chose to see, and the keys that change it. Pure.
 *
 * @module
 */

export const SORTS = ["rate", "total", "name", "drops"] as const;
/** What a row of each table is. */
export const SECTIONS = ["rule", "worker", "queue", "backend"] as const;

export interface View {
  /** Index in SORTS. */
  readonly sort: number;
  readonly reversed: boolean;
  /** Index in SECTIONS: what the arrow keys scroll. */
  readonly focus: number;
  /** First row shown of each section. */
  readonly offsets: readonly number[];
  readonly paused: boolean;
  readonly help: boolean;
}

export const FIRST_VIEW: View = {
  sort: 0,
  reversed: false,
  focus: 0,
  offsets: SECTIONS.map(() => 0),
  paused: false,
  help: false,
};

const SEQUENCES: Readonly<Record<string, string>> = {
  "\x1b[A": "up",
  "\x1bOA": "up",
  "\x1b[B": "down",
  "\x1bOB": "down",
  "\x1b[5~": "page up",
  "\x1b[6~": "page down",
  "\x1b[H": "home",
  "\x1bOH": "home",
  "\x1b[1~": "home",
  "\x1b[F": "end",
  "\x1bOF": "end",
  "\x1b[4~": "end",
  "\t": "tab",
  "\x03": "ctrl-c",
};

/** The keys in what a terminal in raw mode sent; sequences without a name here come as they are. */
export function keysIn(text: string): string[] {
  // deno-lint-ignore no-control-regex -- that is what a terminal sends
  const parts = text.match(/\x1b\[[0-9;]*[A-Za-z~]|\x1bO[A-Z]|[\s\S]/gu) ?? [];
  return parts.map((part) => SEQUENCES[part] ?? part);
}

/**
 * What a key makes of a view.
 *
 * @param page Rows of the focused section on the screen.
 * @param sections How many of {@linkcode SECTIONS} there are: without forwarding there are no backends.
 * @returns the view, or undefined to quit.
 */
export function press(view: View, key: string, page: number, sections: number = SECTIONS.length): View | undefined {
  if (key === "q" || key === "Q" || key === "ctrl-c") return undefined;
  if (view.help) return { ...view, help: false };
  const sorts = SORTS.length;
  const by = (sort: number): View => ({ ...view, sort: (sort + sorts) % sorts, reversed: false });
  const scroll = (rows: number): View => ({
    ...view,
    offsets: view.offsets.map((offset, section) => section === view.focus ? Math.max(0, offset + rows) : offset),
  });
  switch (key) {
    case "s":
    case ">":
      return by(view.sort + 1);
    case "<":
      return by(view.sort - 1);
    case "r":
      return { ...view, reversed: !view.reversed };
    case "p":
      return { ...view, paused: !view.paused };
    case "h":
    case "?":
      return { ...view, help: true };
    case "tab":
      return { ...view, focus: (view.focus + 1) % sections };
    case "up":
      return scroll(-1);
    case "down":
      return scroll(1);
    case "page up":
      return scroll(-page);
    case "page down":
      return scroll(page);
    case "home":
      return scroll(-Infinity);
    case "end":
      return scroll(Number.MAX_SAFE_INTEGER);
    default: {
      const number = Number(key);
      return Number.isInteger(number) && number >= 1 && number <= sorts ? by(number - 1) : view;
    }
  }
}
