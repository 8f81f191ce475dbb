/**
 * Talking to a running xdpsteer over its control socket.
 *
 * @module
 */
import { request } from "node:http";
import { ALIVE_PATH, LOCK_SUFFIX } from "../api/alive.ts";
import { codeOf, EXIT, messageOf, SteerError } from "../errors.ts";

export type Method = "GET" | "POST" | "PUT" | "DELETE";

/** Whoever has not answered by then a question that takes milliseconds does not answer. */
const SILENT_MS = 10_000;
/** A process that takes over listens sooner. */
const BETWEEN_MS = 1000;
const AGAIN_MS = 20;

/** GET over the control socket. @throws {SteerError} as {@linkcode call} does. */
export function get(socketPath: string, path: string): Promise<string> {
  return call(socketPath, "GET", path);
}

/**
 * A request over the control socket. While a process gives it to another one, it is waited for.
 *
 * @param body Bytes as they are, all else as JSON.
 * @param limitMs How long a question may go unanswered. A change may take longer while the other side is alive.
 * @returns The text of the answer.
 * @throws {SteerError} when nobody answers there; {@linkcode Refused} with what the answer says is wrong.
 */
export async function call(
  socketPath: string,
  method: Method,
  path: string,
  body?: unknown,
  limitMs = SILENT_MS,
): Promise<string> {
  const endMs = performance.now() + BETWEEN_MS;
  while (true) {
    try {
      return await ask(socketPath, method, path, body, limitMs);
    } catch (error) {
      if (!isBetween(error, socketPath) || performance.now() > endMs) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

/** Whether nobody listens and yet somebody has the right to the socket, unless it was killed. */
function isBetween(error: unknown, socketPath: string): boolean {
  const code = error instanceof SteerError && error.cause instanceof Error ? codeOf(error.cause) : undefined;
  if (code !== "ENOENT" && code !== "ECONNREFUSED") return false;
  try {
    return Deno.statSync(`${socketPath}${LOCK_SUFFIX}`).isFile;
  } catch {
    return false;
  }
}

function ask(socketPath: string, method: Method, path: string, body: unknown, limitMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => reject(unreachable(socketPath, error));
    if (!isSocketOrUnknown(socketPath)) return fail(NO_SOCKET);
    const settled = (): void => clearTimeout(silence);
    const sent = request({ socketPath, method, path, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => text += part);
      response.on("error", fail);
      response.on("close", settled);
      response.on("end", () => {
        if (response.statusCode === 200) resolve(text);
        else reject(refusal(response.statusCode ?? 0, text));
      });
    });
    sent.on("error", (error) => (settled(), fail(error)));
    const silence = setTimeout(async () => {
      // A change takes as long as it takes, where somebody is there who makes it.
      const isAlive = method !== "GET" &&
        await call(socketPath, "GET", ALIVE_PATH, undefined, limitMs).then(() => true, answers);
      if (isAlive && !sent.destroyed) return;
      sent.destroy(SILENCE);
    }, limitMs);
    sent.end(body === undefined || body instanceof Uint8Array ? body : JSON.stringify(body));
  });
}

/**
 * As {@linkcode call}, for an answer in JSON.
 *
 * @throws {SteerError} also when the answer is none: something else than xdpsteer listens there.
 */
export async function callJson<T>(socketPath: string, method: Method, path: string, body?: unknown): Promise<T> {
  const text = await call(socketPath, method, path, body);
  try {
    return JSON.parse(text) as T;
  } catch (cause) {
    throw new SteerError(`What answers at "${socketPath}" is not xdpsteer: its answer to ${path} is not JSON`, {
      cause,
      hint: ANOTHER,
    });
  }
}

/** False for what is there and no socket: connecting to a file is refused just as if nobody listened. */
function isSocketOrUnknown(path: string): boolean {
  try {
    return path !== "" && Deno.statSync(path).isSocket === true;
  } catch {
    return true; // connecting says why not
  }
}

const SILENCE = Object.assign(new Error("no answer"), { code: "ETIMEDOUT" });
const NO_SOCKET = Object.assign(new Error("not a socket"), { code: "ENOTSOCK" });

const ANOTHER = "another control.socket is named with --socket, or by XDPSTEER_SOCKET";

/** Why a socket that should be there does not answer, and what to do about it. */
const CAUSES: Readonly<Record<string, readonly [message: string, hint: string]>> = {
  ENOENT: ["there is no such socket", `is it running? systemctl status xdpsteer tells; ${ANOTHER}`],
  ECONNREFUSED: ["nobody answers on it", `xdpsteer has ended and can be started again; ${ANOTHER}`],
  EACCES: ["this user may not open it", "use sudo, or join the group that control.group names"],
  EPERM: ["this user may not open it", "use sudo, or join the group that control.group names"],
  ETIMEDOUT: [
    `somebody listens there, and has not answered for ${SILENT_MS / 1000} s`,
    `it hangs, or is no xdpsteer: ss -xlp shows the process; ${ANOTHER}`,
  ],
  EAGAIN: [
    "somebody listens there, and takes no more connections",
    `it hangs, or is no xdpsteer: ss -xlp shows the process; ${ANOTHER}`,
  ],
  ENOTSOCK: ["it is not a socket", ANOTHER],
};

function unreachable(socketPath: string, error: unknown): SteerError {
  if (socketPath === "") {
    return new SteerError("The path of the control socket is empty", { cause: error, hint: ANOTHER });
  }
  const [message, hint] = CAUSES[codeOf(error)] ?? [messageOf(error), `is it running? ${ANOTHER}`];
  return new SteerError(`Cannot reach xdpsteer at "${socketPath}": ${message}`, { cause: error, hint });
}

/** Even an answer that it is not well is one. */
function answers(error: unknown): boolean {
  return error instanceof Refused;
}

/** An answer other than 200. */
export class Refused extends SteerError {
  constructor(readonly status: number, message: string, options: { hint?: string; exitCode?: number } = {}) {
    super(message, options);
  }
}

function refusal(status: number, text: string): Refused {
  const { error, hint, problems } = parse(text);
  if (error === undefined) return new Refused(status, `xdpsteer answers ${status}: ${text.trim()}`);
  return new Refused(status, error, {
    ...(typeof hint === "string" ? { hint } : {}),
    exitCode: problems === undefined ? EXIT.failed : EXIT.configInvalid,
  });
}

interface ErrorBody {
  readonly error?: string;
  readonly hint?: string | null;
  readonly problems?: unknown;
}

function parse(text: string): ErrorBody {
  try {
    return JSON.parse(text) as ErrorBody;
  } catch {
    return {};
  }
}
