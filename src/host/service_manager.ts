/**
 * What the service manager is told: sd_notify(3), one datagram a message. Nothing is sent where none asks to be told,
 * and no message that fails is a reason to stop: packets matter more than who knows of them.
 *
 * @module
 */
import { messageOf, SteerError } from "../errors.ts";
import { DescriptorPost, takePassed } from "../ffi/descriptors.ts";
import { monotonicMicroseconds, sendUnixDatagram } from "../ffi/libc.ts";
import { SOCKADDR_UN, UAPI } from "../ffi/uapi.ts";
import { logger } from "../log.ts";
import { escapeControls, shortened } from "../text.ts";
import { DescriptorStore, type KeptDescriptor, passedDescriptors } from "./descriptor_store.ts";

/** The variables of the protocol. */
const VARIABLES = [
  "NOTIFY_SOCKET",
  "WATCHDOG_USEC",
  "WATCHDOG_PID",
  "FDSTORE",
  "LISTEN_PID",
  "LISTEN_FDS",
  "LISTEN_FDNAMES",
] as const;
type Variable = typeof VARIABLES[number];

/** systemd drops messages of more than 4,095 bytes, and people read one line. A letter has four bytes at most. */
const STATUS_LETTERS = 400;

const log = logger("service");

export interface ServiceManagerOptions {
  /** The variables that it has set, for a process that takes over from this one. */
  readonly variables?: Readonly<Record<string, string>>;
  /** Takes one message to the service manager; absent where there is none. */
  readonly send?: ((message: string) => void) | undefined;
  /** How often it wants to hear that all is well; absent where it does not. */
  readonly beatMs?: number | undefined;
  /** Where it keeps descriptors; absent where it keeps none. */
  readonly store?: DescriptorStore | undefined;
  /** What it has kept for a process before this one, and given back at the start. */
  readonly passed?: readonly KeptDescriptor[];
}

export class ServiceManager implements Disposable {
  readonly #send: ((message: string) => void) | undefined;
  readonly #beatMs: number | undefined;
  /** For a process that takes over from this one: it is to talk to the same service manager. */
  readonly variables: Readonly<Record<string, string>>;
  /** Where it keeps descriptors for the time after a crash; undefined where it keeps none. */
  readonly store: DescriptorStore | undefined;
  /** What it has kept for a process before this one. Whoever takes them closes them. */
  readonly passed: readonly KeptDescriptor[];
  #timer: ReturnType<typeof setInterval> | undefined;
  #hasFailed = false;
  #isStopping = false;
  #status = "Starting";
  #trouble = "";

  constructor({ send, beatMs, store, passed = [], variables = {} }: ServiceManagerOptions) {
    this.variables = variables;
    this.store = store;
    this.passed = passed;
    this.#send = send;
    this.#beatMs = beatMs;
  }

  /**
   * The one that started this process, if it wants to be told. A child of ours must not speak for us, so the variables
   * go.
   */
  static fromEnvironment(): ServiceManager {
    const variables: Partial<Record<Variable, string>> = {};
    for (const name of VARIABLES) {
      const value = Deno.env.get(name);
      if (value === undefined) continue;
      variables[name] = value;
      Deno.env.delete(name);
    }
    const passed = passedDescriptors(variables, Deno.pid);
    takePassed(passed);
    const { NOTIFY_SOCKET: socket, WATCHDOG_USEC: usec, FDSTORE: kept } = variables;
    if (socket === undefined || socket === "") return new ServiceManager({ passed });
    const room = Number(kept ?? 0);
    return new ServiceManager({
      send: (message) => sendUnixDatagram(socketAddress(socket), encode(message), "notify the service manager"),
      beatMs: beatMs(variables, Deno.pid),
      store: room > 0 ? new DescriptorStore(room, new DescriptorPost(socketAddress(socket))) : undefined,
      passed,
      variables: {
        NOTIFY_SOCKET: socket,
        ...(usec === undefined ? {} : { WATCHDOG_USEC: usec }),
        ...(kept === undefined ? {} : { FDSTORE: kept }),
      },
    });
  }

  /** Packets are steered: after the start, and after a change. */
  ready(status: string): void {
    this.#status = status;
    this.#tell({ READY: 1 }); // by itself: nothing that is told for people is to cost this
    this.#tell({ STATUS: this.#statusLine });
  }

  /** What is wrong meanwhile, for people; "" for nothing. It is part of the status until it is told anew. */
  trouble(words: string): void {
    this.#trouble = words;
    this.#tell({ STATUS: this.#statusLine });
  }

  get #statusLine(): string {
    return shortened(this.#trouble === "" ? this.#status : `${this.#status}. ${this.#trouble}`, STATUS_LETTERS);
  }

  /** A change begins, and ends with {@linkcode ready}. */
  reloading(): void {
    // The time tells the service manager's own request to reload from a change that had begun before.
    this.#tell({ RELOADING: 1, MONOTONIC_USEC: monotonicMicroseconds() });
  }

  /** Another process is the main one from now on, or this one again. */
  isMain(pid: number): void {
    this.#tell({ MAINPID: pid });
  }

  /** Another process has taken over: nothing is told any more. */
  leave(): void {
    this.#isStopping = true;
    clearInterval(this.#timer);
  }

  /** The end begins: nothing is told after it. */
  stopping(): void {
    this.#tell({ STOPPING: 1, STATUS: "Detaching, then draining" });
    this.#isStopping = true;
    clearInterval(this.#timer);
  }

  /**
   * Beats from now on as often as wanted, for as long as `isHealthy`: a service manager that misses beats starts us
   * anew.
   */
  beatWhile(isHealthy: () => boolean): void {
    if (this.#send === undefined || this.#beatMs === undefined) return;
    const beat = (): void => {
      if (isHealthy()) this.#tell({ WATCHDOG: 1 });
    };
    beat();
    this.#timer = setInterval(beat, this.#beatMs);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.store?.[Symbol.dispose]();
  }

  #tell(fields: Fields): void {
    if (this.#send === undefined || this.#isStopping) return;
    try {
      this.#send(notification(fields));
    } catch (error) {
      if (this.#hasFailed) return; // once is enough: the beat would say it for ever
      this.#hasFailed = true;
      log.warn("{reason}; further failures are not logged", { reason: messageOf(error) });
    }
  }
}

type Fields = Readonly<Record<string, string | number | bigint>>;

/** The text of a message. A line break ends a field, so a value has none, nor what would steer a terminal. */
export function notification(fields: Fields): string {
  const onOneLine = (value: unknown): string => escapeControls(`${value}`.replaceAll(/\s+/g, " "));
  return Object.entries(fields).map(([name, value]) => `${name}=${onOneLine(value)}`).join("\n");
}

/**
 * How often to beat: four times as often as it is looked for, so that a short trouble does not end the process. Never,
 * where the variables are another process's.
 *
 * @param pid This process's.
 */
export function beatMs(variables: Partial<Readonly<Record<Variable, string>>>, pid: number): number | undefined {
  const { WATCHDOG_USEC: usec = "", WATCHDOG_PID: watched } = variables;
  if (!/^[1-9][0-9]*$/.test(usec) || (watched !== undefined && watched !== `${pid}`)) return undefined;
  const LONGEST_TIMER_MS = 0x7fffffff;
  return Math.min(Number(usec) / 4000, LONGEST_TIMER_MS);
}

/**
 * The `struct sockaddr_un` of a path or, after "@", of an abstract name.
 *
 * @throws {SteerError} for anything else, and for what does not fit.
 */
export function socketAddress(name: string): Uint8Array<ArrayBuffer> {
  if (!/^[/@]./.test(name)) throw new SteerError(`NOTIFY_SOCKET is "${name}": expected a path, or @ and a name`);
  // A path ends with a NUL; an abstract name begins with one and ends where the address does.
  const path = encode(name.startsWith("@") ? `\0${name.slice(1)}` : `${name}\0`);
  if (SOCKADDR_UN.sun_path + path.byteLength > SOCKADDR_UN.size) {
    throw new SteerError(`NOTIFY_SOCKET is too long: "${name}"`);
  }
  const address = new Uint8Array(SOCKADDR_UN.sun_path + path.byteLength);
  new DataView(address.buffer).setUint16(SOCKADDR_UN.sun_family, UAPI.AF_UNIX, true);
  address.set(path, SOCKADDR_UN.sun_path);
  return address;
}

function encode(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}
