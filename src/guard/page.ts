/**
 * Lists on the web: one look at a page, and the copy of the last good one.
 *
 * @module
 */
import { codeOf, messageOf, SteerError } from "../errors.ts";
import { readRegularFile } from "../ffi/held_file.ts";
import { logger } from "../log.ts";
import { type ListManners, type ListText, MAX_LIST_BYTES, readListText } from "./list_text.ts";

/** For all of it, with redirects. */
const LIMIT_MS = 60_000;
const MAX_REDIRECTS = 5;
const NEWLINE = 10;
/** With this begins HTML, whatever it is called, and no list. */
const LESS_THAN = 60;

/** What a server calls a version of a page. */
interface Tag {
  readonly etag: string | null;
  readonly modified: string | null;
}

export interface Fetched {
  /** Undefined where the page is the one of the tag. */
  readonly bytes: Uint8Array<ArrayBuffer> | undefined;
  readonly tag: Tag | undefined;
}

const log = logger("lists");

interface FetchOptions {
  /** Of what is known. */
  readonly tag?: Tag | undefined;
  readonly signal: AbortSignal;
  /** For all of it. */
  readonly limitMs?: number;
}

/**
 * Fetches a page and reads it.
 *
 * @returns What is in it; undefined where the page is the one of the tag.
 * @throws {SteerError} for every answer that is no list, or not to be taken, and for none.
 */
export async function readListPage(
  url: string,
  manners: ListManners,
  options: FetchOptions,
): Promise<{ readonly fetched: Fetched; readonly text: ListText | undefined }> {
  const fetched = await fetchList(url, options);
  const text = fetched.bytes === undefined ? undefined : await readListText(fetched.bytes, manners);
  if (text?.set.size === 0) throw new SteerError("it has no prefix in it");
  return { fetched, text };
}

/**
 * @throws {SteerError} for every answer that is no list, and for none.
 */
async function fetchList(url: string, { tag, signal, limitMs = LIMIT_MS }: FetchOptions): Promise<Fetched> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(limitMs)]);
  try {
    return await follow(url, tag, limit);
  } catch (error) {
    if (error instanceof SteerError) throw error;
    if (limit.aborted) throw new SteerError(`it takes longer than ${limitMs / 1000} s`);
    throw new SteerError(messageOf(error), { cause: error });
  }
}

async function follow(first: string, tag: Tag | undefined, signal: AbortSignal): Promise<Fetched> {
  let url = first;
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const headers = new Headers({ "accept": "text/plain, */*;q=0.1", "user-agent": "xdpsteer" });
    if (tag?.etag) headers.set("if-none-match", tag.etag);
    else if (tag?.modified) headers.set("if-modified-since", tag.modified);
    const response = await fetch(url, { headers, redirect: "manual", signal });
    const to = response.headers.get("location");
    if ([301, 302, 303, 307, 308].includes(response.status) && to !== null) {
      await response.body?.cancel();
      const next = URL.parse(to, url);
      if (next === null || !["https:", "http:"].includes(next.protocol)) {
        throw new SteerError(`it leads to ${JSON.stringify(to.slice(0, 100))}`);
      }
      if (url.startsWith("https:") && next.protocol === "http:") {
        throw new SteerError(`it leads from https to ${next.origin}`);
      }
      url = next.href;
      continue;
    }
    if (response.status === 304 && tag !== undefined) {
      await response.body?.cancel();
      return { bytes: undefined, tag };
    }
    if (response.status !== 200) {
      await response.body?.cancel();
      throw new SteerError(`the server answers ${response.status} ${response.statusText}`.trimEnd());
    }
    if (/html/i.test(response.headers.get("content-type") ?? "")) {
      await response.body?.cancel();
      throw new SteerError("it is an HTML page");
    }
    const bytes = await readBody(response);
    const first = bytes.find((byte) => byte > 32);
    if (first === undefined) throw new SteerError("it is empty");
    if (first === LESS_THAN) throw new SteerError("it is an HTML page");
    if (!hasEnd(url, response.headers) && bytes.at(-1) !== NEWLINE) {
      throw new SteerError("it ends within a line, and its server has not said where its end is");
    }
    const { headers: said } = response;
    return { bytes, tag: { etag: said.get("etag"), modified: said.get("last-modified") } };
  }
  throw new SteerError(`it leads on more than ${MAX_REDIRECTS} times`);
}

/** Whether a connection that breaks would have been noticed: HTTP without TLS may end a page by closing it. */
function hasEnd(url: string, headers: Headers): boolean {
  return url.startsWith("https:") ||
    ["content-length", "transfer-encoding", "content-encoding"].some((name) => headers.has(name));
}

async function readBody(response: Response): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of response.body ?? []) {
    length += part.length;
    if (length > MAX_LIST_BYTES) throw new SteerError(`it is larger than ${MAX_LIST_BYTES / 2 ** 20} MiB`);
    parts.push(part);
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** The last good content of a page, in the directory for what outlives the process. Its first line has the page. */
export class PageCopy {
  readonly #path: string;
  readonly #head: Uint8Array;

  constructor(directory: string, name: string, url: string) {
    this.#path = `${directory}/list.${name}`;
    this.#head = new TextEncoder().encode(`# ${url}\n`);
  }

  /** Undefined where there is none of this page. */
  read(): { readonly bytes: Uint8Array; readonly atMs: number } | undefined {
    try {
      const bytes = readRegularFile(this.#path, MAX_LIST_BYTES + this.#head.length);
      if (this.#head.some((byte, at) => bytes[at] !== byte)) return undefined;
      return { bytes, atMs: Deno.statSync(this.#path).mtime?.getTime() ?? 0 };
    } catch {
      return undefined;
    }
  }

  write(bytes: Uint8Array): void {
    const temporary = `${this.#path}.new`;
    try {
      using file = Deno.openSync(temporary, { write: true, create: true, truncate: true, mode: 0o600 });
      for (const part of [this.#head, bytes]) {
        for (let at = 0; at < part.length;) at += file.writeSync(part.subarray(at));
      }
      Deno.renameSync(temporary, this.#path);
    } catch (error) {
      if (codeOf(error as object) === "ENOENT") return; // there is no such directory, so nothing is kept
      log.warn("Cannot keep a copy of a list for the next start: {reason}", { reason: messageOf(error) });
    }
  }
}
