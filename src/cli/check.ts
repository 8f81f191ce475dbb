/**
 * `xdpsteer check`: says whether a configuration is good, and what it means.
 *
 * @module
 */
import { loadConfig } from "../config/load.ts";
import { formatPorts } from "../steering/rule.ts";
import { print, printJson, table } from "./output.ts";

/** @throws {ConfigError} with every problem found. */
export async function check({ config: file, json }: { config: string; json?: boolean }): Promise<void> {
  const { config } = await loadConfig(file, { cpuCount: navigator.hardwareConcurrency });
  if (json) {
    printJson(JSON.stringify(config));
    return;
  }
  const { interfaces, workers, steering } = config;
  print(`${file} is valid: ${interfaces.length} interface(s), ${workers.count} worker(s), ${steering.length} rule(s)`);
  if (steering.length === 0) return;
  const rows = steering.map(({ name, ports, worker, action }) => [name, formatPorts(ports), `${worker}`, action]);
  print(table(["RULE", "PORTS", "WORKER", "ACTION"], rows));
}
