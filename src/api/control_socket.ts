/**
 * The control socket: made again when somebody has removed it, and removed at the end only if it is still there.
 *
 * @module
 */
import type { ControlConfig } from "../config/schema.ts";
import { messageOf, SteerError } from "../errors.ts";
import { HeldFile, kindOf } from "../ffi/held_file.ts";
import { SYSTEM_TIMERS, type Timers } from "../host/timers.ts";
import { logger } from "../log.ts";
import type { FoundProblem } from "../observe/problems/kinds.ts";
import { cannotOpen, groupId } from "./claim.ts";
import { Listener, type RequestHandler } from "./listener.ts";

/** Between two looks whether it is there: one system call each. */
const LOOK_MS = 250;

const log = logger("api");

type Place = Pick<ControlConfig, "socket" | "group">;

export interface SocketOptions {
  readonly timers?: Timers;
  /** Told why commands cannot reach it, when that begins; undefined when it is over. */
  readonly onLost?: (lost: FoundProblem | undefined) => void;
  /** Waits for its place, where that is taken: the thread before this one had it. */
  readonly patient?: boolean;
}

export class ControlSocket {
  /** None while it cannot be opened. */
  #listener: Listener | undefined;
  #mine: Identity = "";
  #opening: Promise<void> | undefined;
  /** What was last said about its place, so that it is said once. */
  #told = "";
  #lost = "";
  readonly #onLost: NonNullable<SocketOptions["onLost"]>;
  readonly #watch: Disposable;

  private constructor(
    private readonly config: Place,
    private readonly handler: RequestHandler,
    { timers = SYSTEM_TIMERS, onLost = () => {} }: SocketOptions,
  ) {
    this.#onLost = onLost;
    this.#watch = timers.every(LOOK_MS, () => this.#look());
  }

  /** @throws {SteerError} when its place is taken after all: claimAddresses() comes first. */
  static async open(config: Place, handler: RequestHandler, options: SocketOptions = {}): Promise<ControlSocket> {
    const socket = new ControlSocket(config, handler, options);
    try {
      await socket.#listen();
    } catch (error) {
      if (!options.patient) {
        await socket.close();
        throw error;
      }
      socket.#look();
    }
    return socket;
  }

  async close(): Promise<void> {
    this.#watch[Symbol.dispose]();
    await this.#opening;
    // The listener removes whatever has its name: where that is somebody else's, the end of the process has to do.
    if (["", this.#mine].includes(identityOf(this.config.socket))) await this.#listener?.close();
  }

  async #listen(): Promise<void> {
    this.#listener = await listen(this.config, this.handler);
    this.#mine = identityOf(this.config.socket);
  }

  #look(): void {
    if (this.#opening !== undefined) return;
    const { socket } = this.config;
    const found = identityOf(socket);
    if (found === "") {
      this.#tell("The control socket {socket} has been removed: it is made again");
      this.#opening = this.#openAgain().finally(() => this.#opening = undefined);
    } else if (found === this.#mine) {
      this.#told = "";
      this.#lose(undefined);
    } else {
      this.#tell("The control socket {socket} has been replaced: it is made again when that is gone");
      this.#lose({
        message: `${somethingAt(socket)} has taken the place of the control socket ${socket}: no command reaches ` +
          "this xdpsteer",
        fix: `ls -l ${socket} shows what it is; mv ${socket} ${socket}.found: the socket is made again at once`,
      });
    }
  }

  async #openAgain(): Promise<void> {
    const { socket } = this.config;
    await this.#listener?.close(); // it would remove the new one
    this.#listener = undefined;
    try {
      // Its own directory, and none above: whoever has removed those wants nothing there.
      await Deno.mkdir(socket.slice(0, socket.lastIndexOf("/")) || "/").catch(() => {});
      await this.#listen();
      this.#told = "";
      this.#lose(undefined);
      log.info("The control socket {socket} is there again", { socket });
    } catch (error) {
      const reason = messageOf(error);
      this.#tell("{reason}", reason);
      const hint = error instanceof SteerError ? error.hint : undefined;
      this.#lose({
        message: `No command reaches this xdpsteer: ${reason}`,
        ...hint === undefined ? {} : { fix: hint },
      });
    }
  }

  #tell(text: string, reason = ""): void {
    if (text + reason === this.#told) return;
    this.#told = text + reason;
    log.warn(text, { socket: this.config.socket, reason });
  }

  #lose(lost: Pick<FoundProblem, "message" | "fix"> | undefined): void {
    if (this.#lost === (lost?.message ?? "")) return;
    this.#lost = lost?.message ?? "";
    this.#onLost(lost && { kind: "control_socket_lost", subject: this.config.socket, ...lost });
  }
}

/** What is there, with a capital letter. */
function somethingAt(path: string): string {
  try {
    const words = kindOf(Deno.lstatSync(path));
    return `A${words.slice(1)}${words === "a socket" ? " of another program" : ""}`;
  } catch {
    return "Something else";
  }
}

type Identity = string;

/** Differs from one file to the next; "" where there is none. */
function identityOf(path: string): Identity {
  try {
    const { dev, ino } = Deno.lstatSync(path);
    return `${dev} ${ino}`; // of a socket that somebody listens on, no other file gets it
  } catch {
    return "";
  }
}

async function listen({ socket, group }: Place, handler: RequestHandler): Promise<Listener> {
  const mask = Deno.umask(0o177); // the socket is there with mode 0600 from its first moment
  let listener: Listener;
  try {
    listener = await Listener.open({ path: socket }, handler);
  } catch (error) {
    throw cannotOpen(socket, error);
  } finally {
    Deno.umask(mask);
  }
  try {
    if (group !== null) openTo(socket, group);
    return listener;
  } catch (error) {
    await listener.close();
    throw error;
  }
}

/** Lets the members of a group use the socket too. */
function openTo(path: string, group: string | number): void {
  try {
    using socket = new HeldFile(path, { follow: false }); // whatever its name leads to by now
    if (!socket.info.isSocket) throw new Error(`it is ${kindOf(socket.info)} by now`);
    Deno.chownSync(socket.self, null, groupId(group));
    Deno.chmodSync(socket.self, 0o660);
  } catch (error) {
    throw new SteerError(`Cannot give the control socket to group ${group}: ${messageOf(error)}`, {
      hint: "run as root or as a member of that group (systemd: SupplementaryGroups=), or remove control.group",
    });
  }
}
