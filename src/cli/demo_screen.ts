/**
 * What the demo shows: a table that lives on a terminal, lines elsewhere, and the sums at the end.
 *
 * @module
 */
import type { Snapshot } from "../observe/observer.ts";
import { deliveries, type Delivery, type DemoSummary, isPerfect } from "./demo_account.ts";
import { overwriting, upOver } from "./live_screen.ts";
import { grouped, print, table, write } from "./output.ts";

/** Of a line on paper. */
const MAX_COLUMNS = 80;

export class DemoScreen {
  readonly #terminal = Deno.stdout.isTerminal();
  #drawn = 0;
  #notes: string[] = [];
  #last: { readonly atMs: number; readonly rows: readonly Delivery[] } | undefined;

  constructor(private readonly silent: boolean) {}

  /** Something the viewer should know, shown above the table from now on. Rates are counted from `snapshot` on. */
  note(text: string, snapshot: Snapshot): void {
    this.#notes.push(text);
    this.#last = { atMs: performance.now(), rows: deliveries(snapshot) };
    if (!this.silent && !this.#terminal) print(`\n${text}\n`);
  }

  /** The last numbers; on paper the summary has them. */
  end(snapshot: Snapshot): void {
    if (this.#terminal) this.show(snapshot);
  }

  show(snapshot: Snapshot): void {
    const atMs = performance.now();
    const rows = deliveries(snapshot);
    const elapsed = this.#last === undefined ? Infinity : (atMs - this.#last.atMs) / 1000;
    const rates = rows.map(({ packets }, index) => (packets - (this.#last?.rows[index]?.packets ?? 0)) / elapsed);
    this.#last = { atMs, rows };
    if (this.silent) return;
    if (this.#terminal) this.#redraw(snapshot.generation, rows, rates);
    else this.#line(snapshot.generation, rows, rates);
  }

  #redraw(generation: number, rows: readonly Delivery[], rates: readonly number[]): void {
    const text = table(
      ["PORT", "WORKER", "QUEUE", "PACKETS", "PER SECOND"],
      rows.map((
        { port, worker, queue, packets },
        index,
      ) => [`${port}`, `${worker}`, `${queue}`, packets, rates[index]!]),
    ).split("\n").map((line, index) => index > 0 && rates[index - 1]! > 0 ? `${line}  ◀` : line);
    const lines = [...this.#notes, `generation ${generation}`, ...text];
    write(`${upOver(this.#drawn)}${overwriting(lines)}\n`);
    this.#drawn = lines.length;
  }

  /** One line for each look: who gets each port now. */
  #line(generation: number, rows: readonly Delivery[], rates: readonly number[]): void {
    if (rates.every((rate) => rate === 0)) return;
    const ports = [...new Set(rows.map(({ port }) => port))].map((port) => {
      const byWorker = new Map<number, number>();
      for (const [index, row] of rows.entries()) {
        if (row.port === port) byWorker.set(row.worker, (byWorker.get(row.worker) ?? 0) + rates[index]!);
      }
      const moving = [...byWorker].filter(([, rate]) => rate > 0);
      const to = moving.map(([worker, rate]) => `worker ${worker} ${grouped(rate).padStart(7)}/s`);
      return `${port} -> ${to.join(" + ") || "nobody"}`;
    });
    const line = [`generation ${generation}:`, ...ports].join("   ");
    // A change between two looks: a port has packets at two workers.
    print(line.length <= MAX_COLUMNS ? line : [`generation ${generation}:`, ...ports].join("\n   "));
  }
}

export function summaryText(summary: DemoSummary): string {
  const rows = summary.ports.map(({ port, sent, before, after, late }) => [
    `${port}`,
    sent,
    `worker ${before.worker}: ${grouped(before.packets)}`,
    `worker ${after.worker}: ${grouped(after.packets)}`,
    sent - before.packets - after.packets,
    late,
  ]);
  const queues = summary.receivedByQueue.map((packets, queue) => `${grouped(packets)} from queue ${queue}`);
  const { sent, received, lost } = summary;
  const sums = `
${table(["PORT", "SENT", "BEFORE THE CHANGE", "AFTER IT", "LOST", "TO OLD WORKER"], rows)}

${grouped(sent)} packets sent, ${grouped(received)} received by the workers, ${grouped(lost)} lost.
Received: ${queues.join(", ")}.`;
  return !isPerfect(summary) ? sums : `${sums}
Whichever queue a packet arrived on, it reached the worker that its port names.
Saving the file moved both ports to other workers, and lost nothing.`;
}
