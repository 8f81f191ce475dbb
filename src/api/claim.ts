/**
 * The addresses of the HTTP interface, looked at before anything is touched: the listeners themselves come when packets
 * are steered, since Node's server takes longer to load than a packet may wait.
 *
 * @module
 */
import type { ControlConfig } from "../config/schema.ts";
import { messageOf, SteerError, SyscallError } from "../errors.ts";
import { groupNumber, hostAndPort, kindInTheWay } from "../config/machine_place.ts";
import { FileLock } from "../ffi/file_lock.ts";
import { HeldFile, UnreadableError } from "../ffi/held_file.ts";
import { ALIVE, ALIVE_PATH, LOCK_SUFFIX, NOT_ALIVE, SILENT } from "./alive.ts";

/** The right to a control socket, which no other xdpsteer has until it is disposed. */
export class Claim implements Disposable {
  #isLeft = false;

  constructor(private readonly held: Disposable, private readonly lock: FileLock | undefined) {}

  /** That of another process, which keeps it until it ends. @param fd Of its lock; -1: it has none. */
  static adopt(fd: number, socket: string): Claim {
    const lock = fd < 0 ? undefined : FileLock.adopt(fd, socket + LOCK_SUFFIX);
    return new Claim(lock ?? new DisposableStack(), lock);
  }

  /** For a process that comes after this one; -1: there is no lock. */
  get fd(): number {
    return this.lock?.fd ?? -1;
  }

  /** Another process has it from now on. */
  leave(): void {
    this.#isLeft = true;
  }

  [Symbol.dispose](): void {
    if (!this.#isLeft) this.held[Symbol.dispose]();
  }
}

/**
 * Makes sure that the control socket and the TCP address can be had.
 *
 * @returns the right to the socket.
 * @throws {SteerError} when another xdpsteer answers on the socket or has the right to it, something else is in its
 * place, an address is taken, or there is no such group.
 */
export async function claimAddresses({ socket, group, http }: ControlConfig): Promise<Claim> {
  using claimed = new DisposableStack();
  const lock = await claimSocket(socket, claimed);
  try {
    Deno.listen({ transport: "unix", path: socket }).close(); // which removes it
  } catch (error) {
    throw cannotOpen(socket, error);
  }
  if (group !== null) groupId(group);
  try {
    if (http !== null) Deno.listen(hostAndPort(http)).close();
  } catch (error) {
    throw cannotListen(http!, error);
  }
  return new Claim(claimed.move(), lock);
}

export function cannotOpen(path: string, error: unknown): SteerError {
  const message = messageOf(error);
  return new SteerError(`Cannot open the control socket "${path}": ${message}`, { hint: hintFor(path, message) });
}

function hintFor(path: string, message: string): string {
  const folder = path.slice(0, path.lastIndexOf("/")) || "/";
  if (/ENOSPC|No space left/i.test(message)) return `make room in the file system of ${folder}: df -h -i ${folder}`;
  if (/EROFS|Read-only/i.test(message)) return `${folder} is read-only: set control.socket to a path elsewhere`;
  return "set control.socket to a path in a directory that exists and that this user can write: root too has no " +
    "right to directories of others, since it gives up CAP_DAC_OVERRIDE";
}

export function cannotListen(address: string, error: unknown): SteerError {
  return new SteerError(`Cannot listen on ${address}: ${messageOf(error)}`, {
    hint: "set control.http to another address, or to off",
  });
}

/** The number of a group. @throws {SteerError} when there is none of this name. */
export function groupId(group: string | number): number {
  const number = groupNumber(group);
  if (number !== undefined) return number;
  throw new SteerError(`There is no group "${group}" for the control socket`, {
    hint: `create it with "groupadd ${group}", or set control.group to another`,
  });
}

/**
 * Makes room for the socket, under a lock: what is found there is removed only if it is a socket on which nobody
 * listens. A link is not followed.
 *
 * @param claimed Gets what has to be held for as long as the socket.
 * @throws {SteerError} for anything else, which is left alone.
 */
async function claimSocket(path: string, claimed: DisposableStack): Promise<FileLock | undefined> {
  const folder = path.slice(0, path.lastIndexOf("/")) || "/";
  const name = path.slice(path.lastIndexOf("/") + 1);
  await Deno.mkdir(folder, { recursive: true }).catch(() => {});
  try {
    const directory = claimed.use(new HeldFile(folder)); // what is removed is to be in the directory looked at
    const place = directory.at(name);
    const info = await Deno.lstat(place).catch(unlessMissing);
    if (info !== undefined && !info.isSocket) throw inTheWay(path, info);
    const lock = FileLock.take(directory, name + LOCK_SUFFIX);
    // Also one that answers without having the lock, which is of a version that knew of none.
    if (info !== undefined) await requireNoListener(place, path);
    if (lock === undefined) throw claimedByAnother(path);
    claimed.use(lock);
    if (info !== undefined) await Deno.remove(place).catch(unlessMissing);
    return lock;
  } catch (error) {
    // No such directory, or none of this user: the listener says so.
    if (error instanceof UnreadableError) return undefined;
    if (error instanceof SyscallError) {
      if (error.code === "ELOOP") throw linkForLock(path);
      throw cannotOpen(
        path,
        `its lock "${path}${LOCK_SUFFIX}" cannot be taken: ${error.call} failed with ${error.code}`,
      );
    }
    if (error instanceof SteerError) throw error;
    throw cannotOpen(path, messageOf(error).replace(/: \w+ '.*$/, "")); // without the name in /proc
  }
}

function unlessMissing(error: unknown): undefined {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}

function claimedByAnother(path: string): SteerError {
  return new SteerError(
    `Another xdpsteer has the control socket "${path}", and does not listen on it yet, or any more`,
    {
      hint: `fuser ${path}${LOCK_SUFFIX} names it: wait until it has ended, or give this one another control.socket`,
    },
  );
}

function linkForLock(path: string): SteerError {
  return new SteerError(
    `Cannot open the control socket "${path}": its lock "${path}${LOCK_SUFFIX}" is a symbolic link, which is not followed`,
    { hint: `see where it leads and who made it (ls -l ${path}${LOCK_SUFFIX}), then remove it` },
  );
}

function inTheWay(path: string, info: Deno.FileInfo): SteerError {
  return new SteerError(
    `Cannot open the control socket "${path}": ${kindInTheWay(info)}`,
    { hint: "it is left alone: set control.socket to another path, or remove it" },
  );
}

/** @param place What to connect to; `path` is its name in errors. */
async function requireNoListener(place: string, path: string): Promise<void> {
  const hint = `ss -xlp src ${path} names it: stop it first, or give this one another control.socket`;
  let isXdpsteer: boolean;
  try {
    using connection = await Deno.connect({ transport: "unix", path: place });
    isXdpsteer = await answersAsXdpsteer(connection);
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionRefused) return; // it was left behind
    if (error instanceof Deno.errors.NotFound) return;
    const why = error instanceof Deno.errors.WouldBlock ? "its listener is too busy to answer" : messageOf(error);
    throw new SteerError(`Another program may use the control socket "${path}": ${why}`, { hint });
  }
  if (!isXdpsteer) {
    throw new SteerError(`Another program listens on "${path}", and does not answer as xdpsteer does`, { hint });
  }
  throw new SteerError(`Another xdpsteer answers on "${path}", and goes on steering`, {
    hint:
      `xdpsteer status --socket ${path} shows what it does, xdpsteer reload --socket ${path} reads its configuration ` +
      "again; to run beside it, on other interfaces, give this one another control.socket",
  });
}

const ASK = new TextEncoder().encode(`GET ${ALIVE_PATH} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`);
const ANSWER = new RegExp(`^HTTP/1\\.1 (200|503) [^]*\r\n\r\n(${ALIVE}|${NOT_ALIVE}|${SILENT})\n`);
const ANSWER_MS = 1000;
const ANSWER_BYTES = 4096;

/** Whether who listens there answers as xdpsteer does, within a bound. */
async function answersAsXdpsteer(connection: Deno.Conn): Promise<boolean> {
  let text = "";
  const ask = async (): Promise<void> => {
    await connection.write(ASK);
    const buffer = new Uint8Array(ANSWER_BYTES);
    while (text.length < ANSWER_BYTES) {
      const count = await connection.read(buffer);
      if (count === null) return;
      text += new TextDecoder().decode(buffer.subarray(0, count));
    }
  };
  const late = setTimeout(() => connection.close(), ANSWER_MS);
  await ask().catch(() => {}); // what came is judged
  clearTimeout(late);
  return ANSWER.test(text);
}
