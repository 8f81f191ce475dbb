/**
 * One spelling for each path.
 *
 * @module
 */

/**
 * A path without `.`, `..` and empty parts where they can be done without, as `normalize` of node:path: that module
 * takes the start of the process fifteen milliseconds to load.
 */
export function normalizePath(path: string): string {
  const root = path.startsWith("/") ? "/" : "";
  const kept: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") kept.push(part);
    else if (kept.length > 0 && kept.at(-1) !== "..") kept.pop();
    else if (root === "") kept.push(part);
  }
  const end = path.endsWith("/") ? "/" : "";
  if (kept.length === 0) return root === "" ? `.${end}` : root;
  return `${root}${kept.join("/")}${end}`;
}
