/**
 * What the demo shows: a table that lives on a terminal, lines elsewhere, and the sums at the end.
 *
 * @module
 */
import type { Snapshot } from "../observe/observer.ts";
import { overwriting, upOver } from "./live_screen.ts";
import { grouped, print, table, write } from "./output.ts";

/** Packets of one port that one worker took from one queue. */
export interface Delivery {
  readonly port: number;
  readonly worker: number;
  readonly queue: number;
  readonly packets: number;
}

export interface DemoSummary {
  readonly generation: number;
  readonly ports: readonly {
    readonly port: number;
    readonly sent: number;
    readonly before: { readonly worker: number; readonly packets: number };
    readonly after: { readonly worker: number; readonly packets: number };
    /** Packets the old worker got after the change was in force. */
    readonly late: number;
  }[];
  readonly sent: number;
  readonly received: number;
  readonly lost: number;
  readonly misdirected: number;
  readonly socketDrops: number;
}

export function deliveries({ rules }: Snapshot): Delivery[] {
  return rules.filter(({ inForce }) => inForce).flatMap(({ ports, workers }) =>
    workers.flatMap(({ worker, received }) =>
      received.map(({ queue, packets }) => ({ port: Number(ports), worker, queue, packets }))
    )
  );
}

export class DemoScreen {
  readonly #terminal = Deno.stdout.isTerminal();
  #drawn = 0;
  #notes: string[] = [];
  #last: { readonly atMs: number; readonly rows: readonly Delivery[] } | undefined;

  constructor(private readonly silent: boolean) {}

  /** Something the viewer should know, shown above the table from now on. */
  note(text: string): void {
    this.#notes.push(text);
    if (!this.silent && !this.#terminal) print(`\n${text}`);
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
    const moving = rows.map((row, index) => ({ ...row, rate: rates[index]! })).filter(({ rate }) => rate > 0);
    const ports = [...new Set(rows.map(({ port }) => port))].map((port) => {
      const workers = [...new Set(moving.filter((row) => row.port === port).map(({ worker }) => worker))];
      const to = workers.map((worker) => {
        const from = moving.filter((row) => row.port === port && row.worker === worker);
        const rate = from.reduce((sum, row) => sum + row.rate, 0);
        return `worker ${worker} (${grouped(rate)}/s from queues ${from.map(({ queue }) => queue).join(", ")})`;
      });
      return `${port} -> ${to.join(" and ") || "nobody"}`;
    });
    print(`generation ${generation}: ${ports.join("; ")}`);
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
  return `
${table(["PORT", "SENT", "BEFORE THE CHANGE", "AFTER", "LOST", "TO THE OLD WORKER AFTERWARDS"], rows)}

${grouped(summary.sent)} packets sent, ${grouped(summary.received)} received by the workers, ${summary.lost} lost.
Whichever queue a packet arrived on, it reached the worker that its port names.
Saving the file moved both ports to other workers, and lost nothing.`;
}
