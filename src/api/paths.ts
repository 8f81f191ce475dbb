/**
 * What there is to ask for. Paths and methods are a contract; see docs/architecture.md.
 *
 * @module
 */
import { ALIVE_PATH } from "./alive.ts";
import { HttpError } from "./answers.ts";

/** The methods of each path. GET works everywhere, the others on the control socket only. */
const METHODS = {
  "/": ["GET"],
  [ALIVE_PATH]: ["GET"],
  "/healthz": ["GET"],
  "/readyz": ["GET"],
  "/metrics": ["GET"],
  "/v1/status": ["GET"],
  "/v1/problems": ["GET"],
  "/v1/config": ["GET", "PUT"],
  "/v1/stream": ["GET"],
  "/v1/sources": ["GET"],
  "/v1/ports": ["GET", "POST", "DELETE"],
  "/v1/backends": ["GET", "POST"],
  "/v1/reload": ["POST"],
  "/v1/confirm": ["POST"],
  "/v1/diff": ["POST"],
  "/v1/upgrade": ["POST"],
  "/v1/bans": ["GET", "POST", "DELETE"],
} as const;

export type Path = keyof typeof METHODS;

/** All under it is of the dashboard, like `/`. */
const DASHBOARD_FOLDER = "/dashboard/";
/** Where words after `?` mean something for a GET: elsewhere all such questions are one. */
export const READS_QUERY: ReadonlySet<Path> = new Set(["/readyz", "/v1/sources", "/v1/status"]);

/**
 * The path of a request that may be answered.
 *
 * @param method `GET` also for a HEAD.
 * @param socket The control socket, for messages.
 * @throws {HttpError} 403, 404 and 405.
 */
export function requirePath({ pathname }: URL, method: string, mayChange: boolean, socket: string): Path {
  const path = (pathname.startsWith(DASHBOARD_FOLDER) ? "/" : pathname) as Path;
  if (!Object.hasOwn(METHODS, path)) {
    throw new HttpError(404, `there is nothing at this path; there is ${Object.keys(METHODS).join(", ")}`);
  }
  const methods: readonly string[] = METHODS[path];
  const allowed = methods.filter((name) => mayChange || name === "GET");
  if (allowed.length === 0) throw new HttpError(403, `${pathname} is answered on the control socket only: ${socket}`);
  if (!allowed.includes(method)) {
    const allow = allowed.flatMap((name) => name === "GET" ? ["GET", "HEAD"] : [name]).join(", ");
    const where = methods.includes(method) ? `; ${method} is answered on the control socket only: ${socket}` : "";
    throw new HttpError(405, `${method} is not allowed here: ${allow} may be used${where}`, { allow });
  }
  return path;
}
