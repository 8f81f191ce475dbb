/**
 * A part of the product as a program of its own, since a process is in one network namespace only: it reads requests, a
 * JSON line each, and answers each with one; a line for each event comes in between.
 *
 * @module
 */

type Line<Event> = { readonly answer: unknown } | { readonly event: Event };

/** What every such program does: answers until its input ends. @param answer Given a way to tell of events. */
export async function answerRequests<Request, Event>(
  makeAnswer: (tell: (event: Event) => void) => (request: Request) => unknown,
): Promise<void> {
  // deno-lint-ignore no-console -- this is a program, and the lines are its answers
  const print = (line: Line<Event>): void => console.log(JSON.stringify(line));
  const answer = makeAnswer((event) => print({ event }));
  let rest = "";
  for await (const part of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + part).split("\n");
    rest = lines.pop()!;
    for (const line of lines) print({ answer: await answer(JSON.parse(line)) });
  }
}

/** The other end: asks such a program. Its standard input must be piped. */
export class AnsweringProcess<Request, Event> implements AsyncDisposable {
  readonly events: Event[] = [];
  protected readonly child: Deno.ChildProcess;
  protected readonly reading: Promise<void>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #waiting: ((answer: unknown) => void)[] = [];

  protected constructor(child: Deno.ChildProcess) {
    this.child = child;
    this.#writer = child.stdin.getWriter();
    this.reading = this.#read();
  }

  protected async ask(request: Request): Promise<unknown> {
    const answered = new Promise((resolve) => this.#waiting.push(resolve));
    await this.#writer.write(new TextEncoder().encode(`${JSON.stringify(request)}\n`));
    const answer = await answered;
    if (answer instanceof Error) throw answer;
    return answer;
  }

  /** Ends the program's input. @returns Its exit code, once it has ended. */
  protected async close(): Promise<number> {
    await this.#writer.close();
    const { code } = await this.child.status;
    await this.reading;
    return code;
  }

  async #read(): Promise<void> {
    let rest = "";
    for await (const part of this.child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + part).split("\n");
      rest = lines.pop()!;
      for (const text of lines) {
        const line: Line<Event> = JSON.parse(text);
        if ("event" in line) this.events.push(line.event);
        else this.#waiting.shift()!(line.answer);
      }
    }
    for (const answer of this.#waiting) answer(new Error("The process has ended"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.child.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
    await this.child.status;
    await this.reading;
    await this.#writer.close().catch(() => {});
  }
}
