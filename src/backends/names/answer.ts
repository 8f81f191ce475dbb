/**
 * What is asked about names, and what is answered.
 *
 * @module
 */

/** What is asked for of a name. */
export type RecordType = "A" | "AAAA" | "SRV";

/** What an SRV record says. */
export interface Service {
  readonly priority: number;
  readonly weight: number;
  readonly port: number;
  readonly target: string;
}

/** A server's answer. `ttl`: seconds that it may be used for. */
export type Answer =
  | { readonly kind: "records"; readonly records: readonly (string | Service)[]; readonly ttl: number }
  /** The name does not exist, or has no such record. */
  | { readonly kind: "none"; readonly words: string; readonly ttl: number }
  | { readonly kind: "failed"; readonly words: string };
