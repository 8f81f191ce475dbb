/**
 * The version of this program, from deno.json: the one place where it is written.
 *
 * @module
 */
import project from "../deno.json" with { type: "json" };

export const VERSION: string = project.version;
