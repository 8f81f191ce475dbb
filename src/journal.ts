/**
 * Systemd's journal, as far as whoever writes to standard error has to know of it.
 *
 * @module
 */

/** Whether standard error goes to systemd's journal; systemd.exec(5) says how to tell. */
export function isJournal(): boolean {
  const stream = Deno.env.get("JOURNAL_STREAM");
  if (stream === undefined) return false;
  try {
    // Inherited by every child of a service, also by one whose standard error goes elsewhere: hence the comparison.
    const { dev, ino } = Deno.statSync("/proc/self/fd/2");
    return stream === `${dev}:${ino}`;
  } catch {
    return false;
  }
}
