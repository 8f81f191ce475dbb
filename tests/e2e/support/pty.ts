/**
 * A program on a real pseudo-terminal, whose output goes through a terminal emulator (python3-pyte): tests see what a
 * viewer sees.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { TestNetwork } from "../../support/netns.ts";
import { PATIENCE_MS, sleep, until } from "./wait.ts";

export interface Screen {
  /** One text for each row, without the blanks at its end. */
  readonly lines: readonly string[];
  readonly cursorShown: boolean;
  readonly alternate: boolean;
  /** Every run of text with a colour, a background, bold or reverse video. */
  readonly styled: readonly {
    readonly row: number;
    readonly column: number;
    readonly text: string;
    readonly colour: string;
    readonly background: string;
    readonly bold: boolean;
    readonly reverse: boolean;
  }[];
  /** Whether the terminal edits lines, echoes and makes signals from keys, as a shell leaves it. */
  readonly cooked: boolean;
  /** The program's exit code; -15 where SIGTERM ended it; null while it runs. */
  readonly code: number | null;
  /** Times that all of the screen, or the rest of it, was cleared. */
  readonly cleared: number;
}

const PYTHON = "/usr/bin/python3";
/** Looks at the screen, one after the other, that are the same when nothing is being drawn. */
const STILL_LOOKS = 3;

const SCRIPT = `
import fcntl, json, os, pty, select, struct, subprocess, sys, termios, pyte
options = json.loads(sys.argv[1])
master, slave = pty.openpty()
def resize(columns, rows):
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
resize(options["columns"], options["rows"])
before = termios.tcgetattr(slave)
def own_terminal():
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
child = subprocess.Popen(options["argv"], stdin=slave, stdout=slave, stderr=slave, preexec_fn=own_terminal)
screen = pyte.Screen(options["columns"], options["rows"])
stream = pyte.ByteStream(screen)
cleared = 0
def read_all(wait):
    global cleared
    while select.select([master], [], [], wait)[0]:
        data = os.read(master, 1 << 16)
        cleared += data.count(b"\\x1b[2J") + data.count(b"\\x1b[J")
        stream.feed(data)
        wait = 0
def styled():
    runs = []
    for row in range(screen.lines):
        run = None
        for column in range(screen.columns):
            char = screen.buffer[row][column]
            look = (char.fg, char.bg, char.bold, char.reverse)
            if look == ("default", "default", False, False):
                run = None
            elif run is not None and run[0] == look:
                run[1]["text"] += char.data
            else:
                run = (look, dict(row=row, column=column, text=char.data, colour=char.fg, background=char.bg,
                                  bold=char.bold, reverse=char.reverse))
                runs.append(run[1])
    return runs
commands = ""
while True:
    ready = select.select([master, sys.stdin], [], [])[0]
    if master in ready:
        read_all(0)
    if sys.stdin not in ready:
        continue
    data = os.read(0, 1 << 16).decode()
    if data == "":
        break
    commands += data
    *lines, commands = commands.split("\\n")
    for line in lines:
        command = json.loads(line)
        if "keys" in command:
            os.write(master, command["keys"].encode())
        if "size" in command:
            columns, rows = command["size"]
            read_all(0)
            screen.resize(rows, columns)
            resize(columns, rows)
        if "signal" in command and child.poll() is None:
            child.send_signal(command["signal"])
        code = child.poll()
        read_all(0)
        print(json.dumps(dict(
            lines=[line.rstrip() for line in screen.display],
            cursorShown=not screen.cursor.hidden,
            alternate=(1049 << 5) in screen.mode,
            styled=styled(),
            cooked=termios.tcgetattr(slave) == before,
            code=code, cleared=cleared,
        )), flush=True)
if child.poll() is None:
    child.kill()
child.wait()
`;

export interface TerminalOptions {
  readonly columns?: number;
  readonly rows?: number;
  readonly env?: Readonly<Record<string, string>>;
}

export class Terminal implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reading: Promise<void>;
  #output = "";
  #turn: Promise<unknown> = Promise.resolve();

  /**
   * Starts a command line in the steer namespace, on a terminal of its own: 110 columns and 32 rows where nothing is
   * said.
   */
  constructor(network: TestNetwork, argv: readonly string[], options: TerminalOptions = {}) {
    const { columns = 110, rows = 32, env = {} } = options;
    const words = [PYTHON, "-c", SCRIPT, JSON.stringify({ argv, columns, rows })];
    // The tests themselves may run with NO_COLOR, and in any locale.
    const variables = { TERM: "xterm-256color", NO_COLOR: "", LC_ALL: "C.UTF-8", ...env };
    this.#child = network.spawn("steer", words, { stdin: "piped", stderr: "inherit", env: variables });
    this.#input = this.#child.stdin.getWriter();
    this.#reading = this.#read();
  }

  screen(): Promise<Screen> {
    return this.#ask({});
  }

  async type(keys: string): Promise<void> {
    await this.#ask({ keys });
  }

  async resize(columns: number, rows: number): Promise<void> {
    await this.#ask({ size: [columns, rows] });
  }

  async signal(number: number): Promise<void> {
    await this.#ask({ signal: number });
  }

  /** Waits for a screen that fits. @returns it. */
  async untilScreen(what: string, fits: (screen: Screen) => boolean, limitMs = PATIENCE_MS): Promise<Screen> {
    let last: Screen | undefined;
    try {
      return await until(what, async () => fits(last = await this.screen()) && last, { limitMs });
    } catch (error) {
      const { lines = [], ...rest } = last ?? {};
      const state = JSON.stringify({ ...rest, styled: undefined });
      throw new Error(`${(error as Error).message}:\n${lines.join("\n")}\n${state}`, { cause: error });
    }
  }

  /** Waits for a screen that fits and that stays as it is: what is drawn in part changes soon. @returns it. */
  async untilStill(what: string, fits: (screen: Screen) => boolean): Promise<Screen> {
    let last = "";
    let same = 0;
    return await this.untilScreen(what, (screen) => {
      const lines = screen.lines.join("\n");
      same = lines === last ? same + 1 : 0;
      last = lines;
      return same >= STILL_LOOKS && fits(screen);
    });
  }

  /** Waits for the program's end. @returns the screen it left. */
  ended(): Promise<Screen> {
    return this.untilScreen("the program's end", ({ code }) => code !== null);
  }

  #ask(command: unknown): Promise<Screen> {
    const answer = this.#turn.then(() => this.#askNow(command));
    this.#turn = answer.catch(() => {});
    return answer;
  }

  async #askNow(command: unknown): Promise<Screen> {
    const start = this.#output.length;
    await this.#input.write(new TextEncoder().encode(`${JSON.stringify(command)}\n`));
    const deadline = performance.now() + PATIENCE_MS;
    while (!this.#output.endsWith("\n") || this.#output.length === start) {
      assert.ok(performance.now() < deadline, "the terminal does not answer");
      await sleep(5);
    }
    const screen = JSON.parse(this.#output);
    this.#output = "";
    return screen;
  }

  async #read(): Promise<void> {
    for await (const part of this.#child.stdout.pipeThrough(new TextDecoderStream())) this.#output += part;
  }

  /** Ends the program if it still runs. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#input.close().catch(() => {});
    await this.#child.status;
    await this.#reading;
  }
}
