/**
 * The tables of `xdpsteer top`: which columns there are, and how they share a width. Pure.
 *
 * @module
 */
import { SOCKET_COUNTER_TABLE, SOCKET_COUNTERS } from "../../xsk/socket_counters.ts";
import type { BackendWords } from "../../observe/backend_words.ts";
import { AT_SOCKETS, OF_ALL_RULES } from "../../observe/vocabulary.ts";
import { grouped } from "../output.ts";
import type { Count, QueueRates, Rates, RingFill, RuleRates, Trends, WorkerRates } from "./rates.ts";
import { TREND_SAMPLES } from "./rates.ts";
import { bar, fitText, type Line, pad, type Span, span, sparkline, type Style, widthOf } from "./text.ts";
import { SORTS, type View } from "./view.ts";

export interface TableLines {
  readonly heading: string;
  readonly rows: readonly Line[];
}

interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => string | Span;
  readonly align?: "left" | "right";
  /** Columns it has at least, so that the table stays still while numbers change. */
  readonly least?: number;
  /** May be shortened to its least width. */
  readonly flexible?: true;
  /** May be left out where there is no room; the lowest number goes first. */
  readonly expendable?: number;
}

const GAP = "  ";
const UNKNOWN = "-";
/** A trend shorter than this tells nothing; texts are shortened for one of the other length. */
const TREND_WIDTH = { least: 8, wanted: 18 } as const;
const BAR_WIDTH = 10;

/** Lays out rows in at most `width` columns where that can be; a trend takes what is left over. */
function layOut<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  width: number,
  trend?: (row: Row) => readonly number[],
): TableLines {
  let shown = columns.map((column) => {
    const cells = rows.map((row) => {
      const cell = column.cell(row);
      return typeof cell === "string" ? span(cell) : cell;
    });
    const needed = Math.max(column.least ?? 0, widthOf(column.title), ...cells.map(({ text }) => widthOf(text)));
    return { ...column, cells, width: needed };
  });
  const total = (): number => shown.reduce((sum, column) => sum + column.width + GAP.length, -GAP.length);
  const textWidth = trend === undefined ? width : width - GAP.length - TREND_WIDTH.wanted;
  for (const column of shown.filter(({ flexible }) => flexible)) {
    column.width = Math.max(column.least ?? widthOf(column.title), column.width - Math.max(0, total() - textWidth));
  }
  const expendable = columns.filter((column) => column.expendable !== undefined)
    .sort((a, b) => a.expendable! - b.expendable!);
  for (const { title } of expendable) {
    if (total() > width) shown = shown.filter((column) => column.title !== title);
  }
  const trendWidth = trend === undefined ? 0 : Math.min(TREND_SAMPLES, width - total() - GAP.length);
  const hasTrend = trend !== undefined && trendWidth >= TREND_WIDTH.least;

  const titles = shown.map((column) => pad(column.title, column.width, column.align ?? "left"));
  if (hasTrend) titles.push("TREND".padEnd(trendWidth));
  return {
    heading: titles.join(GAP),
    rows: rows.map((row, index) => {
      const line = shown.flatMap((column, at) => {
        const { text, style } = column.cells[index]!;
        const cell = span(pad(fitText(text, column.width), column.width, column.align ?? "left"), style);
        return at === 0 ? [cell] : [span(GAP), cell];
      });
      return hasTrend ? [...line, span(GAP), span(sparkline(trend(row), trendWidth), "accent")] : line;
    }),
  };
}

export const rate = ({ perSecond }: Count): string => perSecond === null ? UNKNOWN : grouped(perSecond);
const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;

/** Counters of what should not happen stay marked once it has, and more so while it does. */
export function alarm({ total, perSecond }: Count): Style | undefined {
  return (perSecond ?? 0) > 0 ? "bad" : total > 0 ? "warning" : undefined;
}

function megabits(number: number | null): string {
  return number === null ? UNKNOWN : number < 1000 ? number.toFixed(1) : grouped(number);
}

/** The rules in the order asked for. */
export function sortRules(rules: readonly RuleRates[], { sort, reversed }: View): RuleRates[] {
  const column = SORTS[sort]!;
  const ordered = [...rules].sort((a, b) => {
    switch (column) {
      case "rate":
        return (b.packets.perSecond ?? 0) - (a.packets.perSecond ?? 0);
      case "total":
        return b.packets.total - a.packets.total;
      case "name":
        return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
      case "drops":
        return b.drops.total - a.drops.total;
    }
  });
  return reversed ? ordered.reverse() : ordered;
}

/** What sockets have lost, of whatever rules: a row of its own, so that no rule looks as if nothing were lost. */
function atSockets({ totals: { lostAtSockets: drops } }: Rates): RuleRates[] {
  if (drops.total === 0) return [];
  const none = {
    worker: null,
    action: null,
    packets: { total: 0, perSecond: null },
    answers: null,
    megabitsPerSecond: null,
    share: null,
  };
  return [{ name: AT_SOCKETS, ports: OF_ALL_RULES, ...none, drops }];
}

export function rulesTable(rates: Rates, view: View, width: number, trends?: Trends): TableLines {
  const sorted = SORTS[view.sort]!;
  // Names begin with the first, numbers with the greatest; reversed, the other way round.
  const arrow = (sorted === "name") === view.reversed ? "▼" : "▲";
  const title = (text: string, column: typeof SORTS[number]): string => sorted === column ? `${text} ${arrow}` : text;
  const columns: Column<RuleRates>[] = [
    { title: title("RULE", "name"), cell: ({ name }) => span(name, "bold"), least: 10, flexible: true },
    { title: "PORTS", cell: ({ ports }) => ports, least: 8, flexible: true },
    { title: "WORKER", cell: ({ worker }) => `${worker ?? UNKNOWN}`, expendable: 4 },
    { title: "ACTION", cell: ({ action }) => action ?? UNKNOWN, expendable: 3 },
    { title: title("PPS", "rate"), cell: ({ packets }) => rate(packets), align: "right", least: 7 },
    ...rates.rules.every(({ answers }) => answers === null) ? [] : [{
      title: "ANSWERS",
      cell: ({ answers }: RuleRates) => answers === null ? UNKNOWN : rate(answers),
      align: "right" as const,
      least: 7,
      expendable: 4,
    }],
    {
      title: "MBIT/S",
      cell: ({ megabitsPerSecond }) => megabits(megabitsPerSecond),
      align: "right",
      least: 6,
      expendable: 2,
    },
    {
      title: title("TOTAL", "total"),
      cell: ({ packets }) => grouped(packets.total),
      align: "right",
      least: 10,
      expendable: 5,
    },
    {
      title: title("DROPS", "drops"),
      cell: ({ drops, action }) => span(grouped(drops.total), action === "drop" ? undefined : alarm(drops)),
      align: "right",
      least: 7,
      expendable: 6,
    },
    {
      title: "SHARE",
      cell: ({ share }) => share === null ? UNKNOWN : percent(share),
      align: "right",
      least: 7,
      expendable: 1,
    },
  ];
  return layOut(
    columns,
    [...sortRules(rates.rules, view), ...atSockets(rates)],
    width,
    trends && (({ name }) => trends.ofRule(name)),
  );
}

export function workersTable({ workers }: Rates, width: number, trends?: Trends): TableLines {
  const busyStyle = (ratio: number): Style => ratio >= 0.9 ? "bad" : ratio >= 0.7 ? "warning" : "good";
  const columns: Column<WorkerRates>[] = [
    { title: "WORKER", cell: ({ worker }) => span(`${worker}`, "bold") },
    { title: "STATE", cell: ({ state }) => span(state, state === "running" ? "good" : "bad"), least: 8 },
    { title: "CPU", cell: ({ cpu }) => `${cpu ?? "any"}`, align: "right", expendable: 2 },
    { title: "PPS", cell: ({ packets }) => rate(packets), align: "right", least: 9 },
    {
      title: "BUSY",
      cell: ({ busyRatio }) =>
        span(`${bar(busyRatio, BAR_WIDTH)} ${percent(busyRatio).padStart(7)}`, busyStyle(busyRatio)),
    },
    { title: "PAUSES", cell: ({ pauses }) => grouped(pauses.total), align: "right", expendable: 1 },
    {
      title: "TOTAL",
      cell: ({ packets }) => grouped(packets.total),
      align: "right",
      least: 11,
      expendable: 3,
    },
  ];
  return layOut(columns, workers, width, trends && (({ worker }) => trends.ofWorker(worker)));
}

function dropsOf({ statistics }: QueueRates): Span {
  const counted = SOCKET_COUNTERS.filter((name) => SOCKET_COUNTER_TABLE[name].unusual)
    .map((name) => [name, statistics[name]!] as const).filter(([, { total }]) => total > 0);
  if (counted.length === 0) return span("none");
  const texts = counted.map(([reason, count]) =>
    (count.perSecond ?? 0) > 0
      ? `${reason} ${grouped(count.total)} (+${rate(count)}/s)`
      : `${reason} ${grouped(count.total)}`
  );
  return span(texts.join(", "), counted.some(([, count]) => alarm(count) === "bad") ? "bad" : "warning");
}

const filled = ({ entries, size }: RingFill): string => `${grouped(entries)}/${grouped(size)}`;

export function queuesTable({ queues }: Rates, width: number): TableLines {
  const columns: Column<QueueRates>[] = [
    { title: "INTERFACE", cell: ({ interface: name }) => span(name, "bold") },
    { title: "QUEUE", cell: ({ queue }) => `${queue}`, align: "right" },
    { title: "MODE", cell: ({ zeroCopy }) => zeroCopy ? "zero-copy" : "copy", least: 9, expendable: 1 },
    { title: "PPS", cell: ({ packets }) => rate(packets), align: "right", least: 9 },
    { title: "FILL", cell: ({ fill }) => filled(fill), align: "right", least: 11 },
    { title: "COMPLETION", cell: ({ completion }) => filled(completion), align: "right", least: 11, expendable: 2 },
    { title: "RX", cell: ({ rx }) => filled(rx), align: "right", least: 11 },
    { title: "DROPS", cell: dropsOf, flexible: true },
  ];
  return layOut(columns, queues, width);
}

const MARK_STYLES: Readonly<Record<BackendWords["mark"], Style>> = { good: "good", leaving: "warning", bad: "bad" };

export function backendsTable({ backends }: Rates, width: number): TableLines {
  const columns: Column<BackendWords>[] = [
    { title: "BACKEND", cell: ({ name }) => span(name, "bold") },
    ...backends.every(({ names }) => names === "")
      ? []
      : [{ title: "NAME", cell: ({ names }: BackendWords) => names, least: 8, flexible: true as const, expendable: 4 }],
    { title: "RULES", cell: ({ rules }) => rules, least: 12, flexible: true },
    { title: "STATE", cell: ({ state, mark }) => span(state, MARK_STYLES[mark]), least: 9 },
    { title: "VIA", cell: ({ via }) => via, least: 8, expendable: 3 },
    { title: "NEXT HOP", cell: ({ nextHop }) => nextHop, least: 17, expendable: 1 },
    { title: "SESSIONS", cell: ({ sessions }) => grouped(sessions), align: "right", least: 8 },
    { title: "TO/S", cell: ({ toRate }) => grouped(toRate), align: "right", least: 7, expendable: 6 },
    { title: "FROM/S", cell: ({ fromRate }) => grouped(fromRate), align: "right", least: 7, expendable: 5 },
    { title: "ANSWER", cell: ({ answerTime }) => answerTime, align: "right", least: 8, expendable: 4 },
    { title: "WHY", cell: ({ why }) => why, least: 10, flexible: true, expendable: 2 },
  ];
  return layOut(columns, backends, width);
}
