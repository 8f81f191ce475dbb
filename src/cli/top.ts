/**
 * `xdpsteer top`: what a running xdpsteer does right now: a live screen on a terminal, blocks of tables or JSON
 * elsewhere.
 *
 * @module
 */
import { EXIT, messageOf, SteerError } from "../errors.ts";
import { callJson } from "./client.ts";
import { canDraw, FullScreen, untilSignal } from "./live_screen.ts";
import { print, printError, printJson } from "./output.ts";
import { drawBlock, drawFrame } from "./top/draw.ts";
import { computeRates, type Rates, type StatusAnswer, Trends } from "./top/rates.ts";
import { type Palette, renderLine } from "./top/text.ts";
import { FIRST_VIEW, keysIn, press, type View } from "./top/view.ts";

export interface TopOptions {
  readonly socket: string;
  /** Seconds between two looks, as written. */
  readonly interval: string;
  readonly json?: boolean;
  /** One block, of two looks, and no more. */
  readonly once?: boolean;
}

const INTERVAL_S = { least: 0.2, most: 60 } as const;
/** The first rates are not waited for longer than this. */
const FIRST_INTERVAL_MS = 1000;
/** An appliance that takes longer to answer is shown as not reachable. */
const ANSWER_MS = 3000;

/** @throws {SteerError} when nothing answers at first; later it is waited for. */
export async function top({ socket, interval, json = false, once = false }: TopOptions): Promise<void> {
  const intervalMs = intervalOf(interval);
  const source = new Source(socket);
  await source.look();
  const live = !json && !once && canDraw();
  if (live) await new LiveTop(source, intervalMs).run();
  else await printRates(source, intervalMs, json, once);
}

function intervalOf(text: string): number {
  const seconds = Number(text);
  if (text.trim() !== "" && seconds >= INTERVAL_S.least && seconds <= INTERVAL_S.most) return seconds * 1000;
  throw new SteerError(`"${text}" is not an interval for --interval`, {
    hint: `give seconds from ${INTERVAL_S.least} to ${INTERVAL_S.most}`,
    exitCode: EXIT.usage,
  });
}

/** The running appliance, as it was at the last look. */
class Source {
  #last: StatusAnswer | undefined;
  #rates: Rates | undefined;
  #asked: Promise<StatusAnswer> | undefined;

  constructor(private readonly socket: string) {}

  /** Of the last look that was answered. */
  get rates(): Rates {
    return this.#rates!;
  }

  /** @throws {SteerError} when there is no answer, or none in time. */
  async look(): Promise<Rates> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(
      () =>
        late.reject(
          new SteerError(`xdpsteer at "${this.socket}" does not answer`, {
            hint: "it listens but is stopped or very busy: look at its log",
          }),
        ),
      ANSWER_MS,
    );
    try {
      // A question without an answer stays the only one.
      this.#asked ??= callJson<StatusAnswer>(this.socket, "GET", "/v1/status").finally(() => this.#asked = undefined);
      const now = await Promise.race([this.#asked, late.promise]);
      this.#rates = computeRates(now, this.#last);
      this.#last = now;
      return this.#rates;
    } finally {
      clearTimeout(timer);
    }
  }
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function printRates(source: Source, intervalMs: number, json: boolean, once: boolean): Promise<void> {
  let reachable = true;
  while (true) {
    await sleep(intervalMs);
    let rates: Rates;
    try {
      rates = await source.look();
    } catch (error) {
      if (once) throw error;
      if (reachable) printError(`xdpsteer: not reachable, retrying: ${messageOf(error)}`);
      reachable = false;
      continue;
    }
    reachable = true;
    if (rates.intervalMs === null) continue; // another process than before: there is nothing to compare with yet
    if (json) printJson(rates);
    else print(`${drawBlock(rates).map((line) => renderLine(line, "none")).join("\n")}\n`);
    if (once) return;
  }
}

/** The live screen and whoever watches it. */
class LiveTop {
  readonly #trends = new Trends();
  readonly #palette: Palette = Deno.noColor ? "plain" : "colour";
  #view: View = FIRST_VIEW;
  #page = 1;
  #sections: number | undefined;
  #problem: string | undefined;

  constructor(private readonly source: Source, private readonly intervalMs: number) {}

  /** Until a key or a signal ends it. The terminal is then as it was before. */
  async run(): Promise<void> {
    using screen = new FullScreen();
    const ended = untilSignal();
    Deno.addSignalListener("SIGWINCH", () => {
      try {
        this.#draw(screen);
      } catch (error) {
        ended.reject(error); // thrown from here, it would end the process with the terminal as it is
      }
    });
    this.#draw(screen);
    await Promise.race([ended.promise, this.#obeyKeys(screen), this.#follow(screen)]);
  }

  /** Ends with the key that quits. */
  async #obeyKeys(screen: FullScreen): Promise<void> {
    for await (const text of screen.typed()) {
      for (const key of keysIn(text)) {
        const view = press(this.#view, key, this.#page, this.#sections);
        if (view === undefined) return;
        this.#view = view;
      }
      this.#draw(screen);
    }
    await new Promise<never>(() => {}); // without a keyboard, signals end it
  }

  async #follow(screen: FullScreen): Promise<never> {
    await sleep(Math.min(this.intervalMs, FIRST_INTERVAL_MS));
    while (true) {
      if (!this.#view.paused) {
        await this.#look();
        this.#draw(screen);
      }
      await sleep(this.intervalMs);
    }
  }

  async #look(): Promise<void> {
    try {
      this.#trends.add(await this.source.look());
      this.#problem = undefined;
    } catch (error) {
      if (!(error instanceof SteerError)) throw error;
      this.#problem = error.message;
    }
  }

  #draw(screen: FullScreen): void {
    const { intervalMs } = this;
    const options = { ...screen.size, view: this.#view, intervalMs, problem: this.#problem };
    const frame = drawFrame(this.source.rates, this.#trends, options);
    this.#view = { ...this.#view, focus: frame.focus, offsets: frame.offsets };
    this.#page = frame.page;
    this.#sections = frame.sections;
    screen.draw(frame.lines.map((line) => renderLine(line, this.#palette)));
  }
}
