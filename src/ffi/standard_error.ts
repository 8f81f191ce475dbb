/**
 * Standard error, without waiting for who reads it.
 *
 * O_NONBLOCK belongs to the open file description, which other processes share: a shell, the reader of a terminal. So
 * the file is opened again; a socket, which cannot be, has a flag for each call; and what this user may not open is
 * asked before each write whether it has room.
 *
 * @module
 */
import { codeOf } from "../errors.ts";
import type { UnwaitingOutput } from "../stderr.ts";
import { ERRNO, syscallError } from "./errno.ts";
import { libc, openFile } from "./libc.ts";
import { POLLFD, UAPI } from "./uapi.ts";

const FD = 2;
const PATH = `/proc/self/fd/${FD}`;
/** A pipe that has room at all has room for this (PIPE_BUF of limits.h). */
const PIPE_BYTES = 4096;
const AGAIN: readonly number[] = [ERRNO.EAGAIN, ERRNO.EINTR];
/** Of a file, until somebody makes room. */
const FULL: readonly string[] = ["ENOSPC", "EDQUOT", "EFBIG"];

export function openStandardError(): UnwaitingOutput {
  const { fd, write } = open();
  let isFull = false;
  return {
    write: (bytes) => {
      try {
        const taken = write(bytes);
        isFull = false;
        return taken;
      } catch (error) {
        isFull = FULL.includes(codeOf(error));
        if (isFull) return 0;
        throw error;
      }
    },
    waitFor: (ms) => !isFull && waitWritable(fd, ms),
    get isFull(): boolean {
      return isFull;
    },
  };
}

function open(): { readonly fd: number; readonly write: UnwaitingOutput["write"] } {
  const { isFile, isSocket } = Deno.statSync(PATH);
  if (isSocket) return { fd: FD, write: (bytes) => taken(writeSocketNow(FD, bytes), "send") };
  // Of a regular file the position is shared, and it keeps nobody waiting.
  if (isFile) return { fd: FD, write: (bytes) => taken(writeNow(FD, bytes), "write") };
  try {
    const fd = openFile(PATH, UAPI.O_WRONLY | UAPI.O_NONBLOCK | UAPI.O_NOCTTY);
    return { fd, write: (bytes) => taken(writeNow(fd, bytes), "write") };
  } catch {
    const write = (bytes: Uint8Array<ArrayBuffer>): number =>
      waitWritable(FD, 0) ? taken(writeNow(FD, bytes.subarray(0, PIPE_BYTES)), "write") : 0;
    return { fd: FD, write };
  }
}

/** @param result Bytes, or `-errno`. */
function taken(result: number, call: string): number {
  if (result >= 0) return result;
  if (AGAIN.includes(-result)) return 0;
  throw syscallError(call, -result, "write to standard error");
}

/** Writes to a file. @returns bytes written, or `-errno`. */
function writeNow(fd: number, bytes: Uint8Array<ArrayBuffer>): number {
  const { symbols, errno } = libc();
  const result = Number(symbols.write(fd, bytes, BigInt(bytes.byteLength)));
  return result < 0 ? -errno[0]! : result;
}

/** Sends to a connected socket without waiting. @returns bytes sent, or `-errno`. */
function writeSocketNow(fd: number, bytes: Uint8Array<ArrayBuffer>): number {
  const { symbols, errno } = libc();
  const flags = UAPI.MSG_DONTWAIT | UAPI.MSG_NOSIGNAL;
  const result = Number(symbols.send(fd, bytes, BigInt(bytes.byteLength), flags));
  return result < 0 ? -errno[0]! : result;
}

/** Waits until a file takes bytes, or has an error to tell, for `ms` at most. @returns whether it does. */
function waitWritable(fd: number, ms: number): boolean {
  const pollfd = new DataView(new ArrayBuffer(POLLFD.size));
  pollfd.setInt32(POLLFD.fd, fd, true);
  pollfd.setInt16(POLLFD.events, UAPI.POLLOUT, true);
  return libc().symbols.poll_one(new Uint8Array(pollfd.buffer), 1, Math.ceil(ms)) > 0;
}
