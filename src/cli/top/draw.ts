/**
 * What `xdpsteer top` shows, as lines: a frame for a terminal of a given size, or a block for a file. Pure.
 *
 * @module
 */
import { plural } from "../../text.ts";
import { grouped } from "../output.ts";
import type { Problem } from "../../observe/problems/kinds.ts";
import { type Rates, TOTALS, type Trends } from "./rates.ts";
import { alarm, backendsTable, queuesTable, rate, rulesTable, type TableLines, workersTable } from "./tables.ts";
import { duration, fitLine, fitText, type Line, lineWidth, oneLine, pad, span, type Style } from "./text.ts";
import { FIRST_VIEW, SECTIONS, SORTS, type View } from "./view.ts";

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

export interface Frame {
  /** At most as many as the terminal has rows, none wider than its columns. */
  readonly lines: readonly Line[];
  /** The view's offsets, brought to where there is something to show. */
  readonly offsets: readonly number[];
  /** The section that has it: the first where that of the view is not there any more. */
  readonly focus: number;
  /** Rows shown of the focused section. */
  readonly page: number;
  /** How many there are. */
  readonly sections: number;
}

export interface FrameOptions extends Size {
  readonly view: View;
  readonly intervalMs: number;
  /** Why there is nothing newer than this, or undefined. */
  readonly problem?: string | undefined;
}

const KEYS_LINE = "q quit  s sort  r reverse  ↑↓ PgUp PgDn scroll  Tab section  p pause  h help";

const HELP = [
  "Keys",
  "",
  "  q, Ctrl-C        quit",
  `  s, >, <          sort the rules by the next or previous of: ${SORTS.join(", ")}`,
  `  ${SORTS.map((_, index) => index + 1).join(" ")}          sort the rules by ${SORTS.join(", ")}`,
  "  r                reverse the order",
  "  Tab              select the next table; the arrow keys scroll the table marked ↑↓",
  "  arrows, PgUp, PgDn, Home, End   scroll",
  "  p                pause, or continue",
  "  h, ?             this page; any key closes it",
  "",
  "PPS and MBIT/S are for the last interval. SHARE is the share of all packets seen in it.",
  "DROPS of a rule: packets that its action drops, and packets that a worker could not handle.",
  "Packets lost at sockets were redirected but found no room: the queues' DROPS say why.",
  "BUSY is the share of the interval in which a worker had packets to process; a pause is a millisecond or more in",
  "which a spinning worker did not run. FILL, COMPLETION and RX are entries waiting in the rings.",
];

/** A row and its heading for each of the tables, and the blank lines between. */
const allTablesRows = (tables: number): number => 3 * tables - 1;
/** A heading and some rows of one table. */
const ONE_TABLE_ROWS = 4;
/** Of the problems, where there is no screen that they have to fit. */
const BLOCK_PROBLEM_ROWS = 40;
/** With fewer rows a line of keys would take the place of the only row of a table. */
const LEAST_ROWS_WITH_KEYS = 5;

/**
 * One screen. Where there is little room, the header gives way first, then the tables that do not have the focus, then
 * the keys.
 */
export function drawFrame(rates: Rates, trends: Trends, options: FrameOptions): Frame {
  const { columns, rows, view } = options;
  const footer = rows === 2 || rows >= LEAST_ROWS_WITH_KEYS ? [footerLine(options)] : [];
  const top = headerThatFits(rates, options, rows - footer.length);
  const left = rows - top.length - footer.length;
  const tables = tablesOf(rates, view, columns, trends);
  const focus = view.focus < tables.length ? view.focus : 0;
  const body = view.help
    ? { lines: HELP.map((text) => [span(text)]), offsets: view.offsets, page: 1 }
    : sectionLines(tables, { ...view, focus }, columns, left);
  const lines = [...top, ...body.lines.slice(0, left)];
  while (lines.length < rows - footer.length) lines.push([]);
  return {
    ...body,
    focus,
    sections: tables.length,
    lines: [...lines, ...footer].map((line) => fitLine(line, columns)),
  };
}

/** In the order of {@linkcode SECTIONS}; backends only where there are any. */
function tablesOf(rates: Rates, view: View, columns: number, trends?: Trends): TableLines[] {
  return [
    rulesTable(rates, view, columns, trends),
    workersTable(rates, columns, trends),
    queuesTable(rates, columns),
    ...rates.backends.length > 0 ? [backendsTable(rates, columns)] : [],
  ];
}

/** As much of the header as leaves room for what it is about. */
function headerThatFits(rates: Rates, options: FrameOptions, rows: number): Line[] {
  const { columns, view } = options;
  const [title, interfaces, ...rest] = headerLines(rates, columns, stateOf(options));
  const totals = rest.slice(0, -1);
  // What is wrong is said in one line at least, and has more of those that are left.
  const least = rates.problems.length > 0 ? 1 : 0;
  const spare = (lines: readonly Line[], body: number): number => rows - lines.length - 1 - body;
  const problems = (room: number): Line[] => problemLines(rates.problems, Math.min(room, Math.max(1, rows >> 2)));
  const room = spare(
    [title!, interfaces!, ...rest],
    view.help ? HELP.length : allTablesRows(rates.backends.length > 0 ? SECTIONS.length : SECTIONS.length - 1),
  );
  if (room >= least) return [title!, interfaces!, ...problems(room), ...rest, []];
  const less = spare([title!, ...totals], ONE_TABLE_ROWS);
  if (!view.help && less >= least) return [title!, ...problems(less), ...totals, []];
  return rows > 1 ? [title!, ...problems(1)] : [title!];
}

/** Everything, one under the other, for whoever is not a terminal. */
export function drawBlock(rates: Rates): Line[] {
  const tables = tablesOf(rates, FIRST_VIEW, Infinity);
  const [title, interfaces, ...rest] = headerLines(rates, Infinity);
  return [
    title!,
    interfaces!,
    ...problemLines(rates.problems, BLOCK_PROBLEM_ROWS),
    ...rest,
    ...tables.flatMap(({ heading, rows }) => [[], [span(heading)], ...rows]),
  ];
}

/** What the viewer must know about what is shown, in words. */
function stateOf({ view, problem }: FrameOptions): Line {
  if (problem !== undefined) return [span(" NOT REACHABLE, RETRYING ", "alert")];
  return view.paused ? [span(" PAUSED ", "alert")] : [];
}

function footerLine({ intervalMs, problem }: FrameOptions): Line {
  if (problem !== undefined) return [span(oneLine(problem), "bad")];
  return [span(`${KEYS_LINE}  every ${intervalMs / 1000} s`, "dim")];
}

function headerLines(rates: Rates, width: number, state: Line = []): Line[] {
  const title: Line = [
    span(`xdpsteer ${rates.version}`, "bold"),
    span(`  up ${duration(rates.uptimeMs)}  generation ${rates.generation}`),
  ];
  const gap = width === Infinity ? 0 : width - lineWidth(title) - lineWidth(state);
  // The state is said whole, whatever has to give way.
  const first = gap >= 0 ? [...title, span(" ".repeat(gap)), ...state] : [...state, ...title];
  const interfaces = rates.interfaces.map(({ name, attach }) =>
    `${name} (${attach === "native" || attach === "generic" ? `${attach} XDP` : attach.toUpperCase()})`
  ).join(", ");
  return [
    first,
    [span(interfaces)],
    ...totalsLines(rates, width),
    reloadLine(rates),
  ];
}

const SEVERITY_STYLES: Readonly<Record<Problem["severity"], Style>> = { critical: "bad", warning: "warning" };

/** The most urgent problems, each with what to do about it, in at most so many rows. */
function problemLines(problems: readonly Problem[], rows: number): Line[] {
  const lines: Line[] = [];
  let shown = 0;
  for (const { severity, message, fix } of problems) {
    const style = SEVERITY_STYLES[severity];
    const line = [span(severity.toUpperCase().padEnd(9), style), span(oneLine(message), style)];
    const left = rows - lines.length - (shown + 1 < problems.length ? 1 : 0); // a row to say how many more
    if (left < 1) break;
    lines.push(line);
    shown++;
    if (fix !== null && left > 1) lines.push([span(`${" ".repeat(9)}fix: ${oneLine(fix)}`, "dim")]);
  }
  if (shown === problems.length) return lines;
  if (shown > 0) {
    return [...lines, [span(`and ${plural(problems.length - shown, "other problem")}: xdpsteer status`, "dim")]];
  }
  const { severity, message } = problems[0]!;
  const count = span(
    ` ${plural(problems.length, "problem").toUpperCase()} `,
    severity === "critical" ? "alert" : "warning",
  );
  return rows < 1 ? [] : [[count, span(` ${oneLine(message)}`, SEVERITY_STYLES[severity])]];
}

const TITLES: Readonly<Record<typeof TOTALS[number], string>> = {
  seen: "SEEN",
  redirected: "REDIRECTED",
  passed: "PASSED",
  dropped: "DROPPED",
  lostAtSockets: "LOST AT SOCKETS",
};

function totalsLines({ totals }: Rates, width: number): Line[] {
  const label = "per second";
  const cells = TOTALS.map((name) => {
    const count = totals[name];
    const texts = [TITLES[name], rate(count), grouped(count.total)] as const;
    // Dropping is what rules are for, losing is not.
    return { texts, style: name === "lostAtSockets" ? alarm(count) : undefined };
  });
  const gap = width < 90 ? 1 : 3;
  const line = (row: 0 | 1 | 2, title: string): Line => [
    span(title.padEnd(label.length), "dim"),
    ...cells.flatMap(({ texts, style }) => {
      const cellWidth = Math.max(10, ...texts.map((text) => text.length));
      return [span(" ".repeat(gap)), span(pad(texts[row], cellWidth, "right"), row === 0 ? "dim" : style)];
    }),
  ];
  return [line(0, "packets"), line(1, label), line(2, "total")];
}

function reloadLine({ lastReload, reloads }: Rates): Line {
  const counts = Object.entries(reloads).filter(([, count]) => count > 0).map(([result, count]) =>
    `${count} ${result}`
  );
  if (lastReload === null) return [span("no reload yet", "dim")];
  const { time, result, message } = lastReload;
  const refused = result === "refused";
  const text = `reload ${refused ? "REFUSED" : result} at ${time.replace(/\.\d+Z$/, "Z")}`;
  return [
    span(oneLine(text), refused ? "bad" : "good"),
    span(` (${counts.join(", ")})${message === "" ? "" : ": "}`),
    span(oneLine(message), refused ? "bad" : undefined),
  ];
}

/**
 * Lets the tables share the rows there are: what one does not need, the others get. Where not each can have a row, only
 * the one with the focus is shown.
 */
function sectionLines(
  tables: readonly TableLines[],
  view: View,
  columns: number,
  rows: number,
): { lines: Line[]; offsets: number[]; page: number } {
  const all = rows >= allTablesRows(tables.length);
  const spacing = all ? tables.length * 2 - 1 : 1; // a heading each, and a blank line between
  const isShown = (section: number): boolean => all || section === view.focus;
  const needed = tables.map((table, section) => isShown(section) ? table.rows.length : 0);
  const heights = shareRows(needed, rows - spacing);
  const offsets = view.offsets.map((offset, section) =>
    section < tables.length
      ? Math.max(0, Math.min(offset, tables[section]!.rows.length - Math.max(1, heights[section]!)))
      : 0
  );
  const lines = tables.flatMap((table, section) => {
    const [offset, height] = [offsets[section]!, heights[section]!];
    const count = table.rows.length;
    // A heading alone tells nothing, unless there is nothing to tell.
    if (!isShown(section) || (height === 0 && count > 0)) return [];
    const focused = section === view.focus;
    const range = height < count ? ` ${offset + 1}-${offset + height} of ${plural(count, SECTIONS[section]!)}` : "";
    const mark = range === "" ? "" : focused ? `${range} ↑↓ ` : `${range} `;
    const heading = pad(fitText(table.heading, columns - mark.length), columns - mark.length, "left") + mark;
    return [
      ...(section === 0 || !all ? [] : [[]]),
      [span(heading, focused ? "focused" : "heading")],
      ...table.rows.slice(offset, offset + height),
    ];
  });
  return { lines, offsets, page: Math.max(1, heights[view.focus]!) };
}

/** The largest share that, given to each, is not more than there is; who needs less takes less. */
function shareRows(needed: readonly number[], rows: number): number[] {
  const given = needed.map(() => 0);
  for (let left = rows; left > 0; left--) {
    const next = given.reduce(
      (least, height, at) => height < needed[at]! && (least === undefined || height < given[least]!) ? at : least,
      undefined as number | undefined,
    );
    if (next === undefined) break;
    given[next]!++;
  }
  return given;
}
