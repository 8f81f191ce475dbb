/**
 * Whether the file that a rule is captured in can be made on this machine. Whether the user that runs the service may
 * write there is not known here.
 *
 * @module
 */
import { show } from "./wording.ts";

/** What is in the way of a capture file below `root`; undefined where nothing is known to be. */
export function captureObstacle(file: string, root: string): string | undefined {
  const directory = file.slice(0, file.lastIndexOf("/")) || "/";
  try {
    if (!Deno.statSync(directory).isDirectory) return `capture directory ${show(directory)} is not a directory`;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return `capture directory ${show(directory)} does not exist`;
    if (error instanceof Deno.errors.NotADirectory) return `a part of ${show(directory)} is not a directory`;
    return undefined; // this user may not look
  }
  if (leadsOut(directory, root)) return `capture directory ${show(directory)} is led out of ${show(root)} by a link`;
  try {
    if (!Deno.lstatSync(file).isFile) return `capture file ${show(file)} is there already and is no regular file`;
  } catch {
    // Not there yet.
  }
  return undefined;
}

function leadsOut(directory: string, root: string): boolean {
  try {
    return !`${Deno.realPathSync(directory)}/`.startsWith(`${Deno.realPathSync(root)}/`.replace("//", "/"));
  } catch {
    return false; // this user may not look
  }
}
