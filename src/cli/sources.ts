/**
 * `xdpsteer sources`: who sends most to the rules of a running xdpsteer, live on a terminal, one table elsewhere.
 *
 * @module
 */
import type { SourcesAnswer } from "../api/sources.ts";
import { EXIT, SteerError } from "../errors.ts";
import { plural } from "../text.ts";
import { callJson } from "./client.ts";
import { canDraw, FullScreen, untilSignal } from "./live_screen.ts";
import { grouped, print, printJson, table } from "./output.ts";
import { keysIn } from "./top/view.ts";

export interface SourcesOptions {
  readonly socket: string;
  readonly rule?: string;
  /** As written. */
  readonly count: string;
  readonly json?: boolean;
  readonly once?: boolean;
}

const MOST = 1000;
const INTERVAL_MS = 1000;

/** @throws {SteerError} when nothing answers, and for a rule that there is not. */
export async function sources({ socket, rule, count, json = false, once = false }: SourcesOptions): Promise<void> {
  const look = (): Promise<SourcesAnswer> => callJson(socket, "GET", pathOf(rule, count));
  const first = await look();
  if (json) return printJson(first);
  if (once || !canDraw()) return print(tableOf(first).join("\n"));
  await watch(first, look);
}

function pathOf(rule: string | undefined, count: string): string {
  const number = Number(count);
  if (!/^\d+$/.test(count) || number < 1 || number > MOST) {
    throw new SteerError(`"${count}" is no number of sources for --count`, {
      hint: `give a number from 1 to ${MOST}`,
      exitCode: EXIT.usage,
    });
  }
  const query = new URLSearchParams({ count, ...(rule === undefined ? {} : { rule }) });
  return `/v1/sources?${query}`;
}

function tableOf({ rule, packetsPerSecond, seen, sources }: SourcesAnswer): string[] {
  const of = rule === null ? "all rules" : `rule ${rule}`;
  const head = `${of}: ${grouped(Math.round(packetsPerSecond))} packets/s from ${plural(seen, "source")}`;
  if (sources.length === 0) return [head];
  const rows = sources.map((source) => [
    source.source,
    ...rule === null ? [source.rule] : [],
    grouped(Math.round(source.packetsPerSecond)),
    grouped(Math.round(source.bytesPerSecond)),
    source.ban,
  ]);
  const header = ["SOURCE", ...rule === null ? ["RULE"] : [], "PACKETS/S", "BYTES/S", "TO BAN IT"];
  return [head, "", ...table(header, rows).split("\n")];
}

/** Until a key or a signal ends it. The terminal is then as it was before. */
async function watch(first: SourcesAnswer, look: () => Promise<SourcesAnswer>): Promise<void> {
  using screen = new FullScreen();
  const ended = untilSignal();
  let lines = tableOf(first);
  const draw = (): void => {
    const { columns, rows } = screen.size;
    const shown = lines.slice(0, rows - 1).map((line) => line.slice(0, columns));
    while (shown.length < rows - 1) shown.push("");
    screen.draw([...shown, "q quits".slice(0, columns)]);
  };
  draw();
  await Promise.race([
    ended.promise,
    untilQuit(screen),
    follow(look, (next) => {
      lines = next;
      draw();
    }),
  ]);
}

async function untilQuit(screen: FullScreen): Promise<void> {
  for await (const text of screen.typed()) {
    if (keysIn(text).some((key) => key === "q" || key === "ctrl-c")) return;
  }
  await new Promise<never>(() => {}); // without a keyboard, signals end it
}

async function follow(look: () => Promise<SourcesAnswer>, show: (lines: string[]) => void): Promise<never> {
  while (true) {
    await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS));
    try {
      show(tableOf(await look()));
    } catch (error) {
      if (!(error instanceof SteerError)) throw error;
      show([error.message, "", "It is tried again every second."]);
    }
  }
}
