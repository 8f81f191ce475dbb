/**
 * What is logged while a test runs, instead of printing it.
 *
 * @module
 */
import { configureSync, type LogRecord, resetSync } from "@logtape/logtape";

export class LogRecords implements Disposable {
  readonly records: LogRecord[] = [];

  constructor() {
    configureSync({
      reset: true,
      sinks: { records: (record: LogRecord): void => void this.records.push(record) },
      loggers: [
        { category: "xdpsteer", lowestLevel: "debug", sinks: ["records"] },
        { category: ["logtape", "meta"], lowestLevel: "error", sinks: ["records"] },
      ],
    });
  }

  /** Level and sentence of each, values put in. */
  get lines(): string[] {
    return this.records.map(({ level, message }) => `${level}: ${message.join("")}`);
  }

  [Symbol.dispose](): void {
    resetSync();
  }
}
