/**
 * Configurations for the tests, as an operator would write them.
 *
 * @module
 */
import { INTERFACES } from "../../support/netns.ts";

export interface TestConfig {
  /** Each a rule as a YAML flow map: `{ name: game, ports: 8080, worker: 0 }`. */
  readonly rules: readonly string[];
  /** Default 2. */
  readonly workers?: number;
  /** Default native. */
  readonly attach?: "auto" | "native" | "generic";
  /** Default adaptive, as the product's. */
  readonly wait?: "adaptive" | "poll" | "busy";
  /** Default steer0. */
  readonly interface?: string;
  /** Further ones, each as a YAML flow map. Default: none. */
  readonly others?: readonly string[];
  /** Default off. */
  readonly http?: string;
  /** Whose members may use the control socket. Default: root only. */
  readonly group?: number | string;
  /** Further sections, each as lines of YAML. Default: none. */
  readonly sections?: readonly string[];
  /** Level of the log. Default: info. */
  readonly log?: "debug" | "info";
  /** Default: as much as there may be. */
  readonly memory?: string;
}

/**
 * Rings of this size, the largest there are, hold what arrives while the machine does something else for a tenth of a
 * second: the tests that count every packet are about where packets go, not about how fast two busy CPUs are.
 */
export const ROOMY = "umem: { chunks: 65536 }, rings: { rx: 32768, tx: 4096, fill: 32768, completion: 4096 }";

/** The text of a configuration file. */
export function configText(config: TestConfig, socket: string): string {
  const { rules, workers = 2, attach = "native", wait = "adaptive", http = "off", memory = ROOMY } = config;
  return [
    "version: 1",
    "interfaces:",
    `  - { name: ${config.interface ?? INTERFACES.steer}, attach: ${attach}, ${memory} }`,
    ...(config.others ?? []).map((other) => `  - ${other}`),
    `workers: { count: ${workers}, wait: ${wait} }`,
    "steering:",
    ...rules.map((rule) => `  - ${rule}`),
    ...config.sections ?? [],
    "capture: { directory: / }", // tests have directories of their own
    `control: { ${config.group === undefined ? "" : `group: ${config.group}, `}socket: ${socket}, http: "${http}" }`,
    `log: { level: ${config.log ?? "info"}, format: json }`,
    "",
  ].join("\n");
}
