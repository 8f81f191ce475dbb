/**
 * A configuration that leaves all it can at its defaults.
 *
 * @module
 */

/** @param interfaces Each a YAML flow map: `{ name: steer0 }`. @param rules The same. */
export function defaultConfig(socket: string, interfaces: readonly string[], rules: readonly string[]): string {
  return [
    "version: 1",
    "interfaces:",
    ...interfaces.map((text) => `  - ${text}`),
    "steering:",
    ...rules.map((rule) => `  - ${rule}`),
    `control: { socket: ${socket}, http: off }`,
    "log: { format: json }",
    "",
  ].join("\n");
}
