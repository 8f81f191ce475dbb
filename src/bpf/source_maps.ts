/**
 * The lists of sources in the kernel.
 *
 * @module
 */

/** The maps of a program that hold the lists of sources. */
export interface SourceMaps {
  /** Of the variable `source_tables`. */
  readonly sources: number;
  readonly ipv4Sources: number;
  readonly ipv6Sources: number;
}
