/**
 * What xdpsteer is, in the words that the manual page and the packages use.
 *
 * @module
 */

/** In one line, without a period. */
export const SUMMARY = "UDP packet steering by destination port, with XDP and AF_XDP";

/** In paragraphs. */
export const ABOUT: readonly string[] = [
  "An XDP program reads the UDP destination port of each packet at the driver and hands the packet to the worker " +
  "thread that owns the port, whichever receive queue it arrived on. Workers count packets, echo them to the sender, " +
  "forward them to backends, or copy them to capture files; the XDP program can also drop packets at the driver.",
  "A YAML file says which port goes where. Saving it remaps ports under live traffic without losing a packet. Only " +
  "the UDP ports that it lists leave the kernel's path; everything else reaches the kernel stack as before.",
  "The kernel detaches the program when the process ends, however it ends.",
];

/** Every environment variable that xdpsteer reads, and what it does. A test compares them with the sources. */
export const ENVIRONMENT: Readonly<Record<string, string>> = {
  XDPSTEER_CACHE_DIR:
    "Where the one file unpacks itself at its first start: a directory that only its user can write " +
    "to, with 120 MB free and not mounted noexec. If it cannot be used, xdpsteer does not start.",
  CACHE_DIRECTORY:
    "Without XDPSTEER_CACHE_DIR, these are tried in order, and then /dev/shm and /tmp: CACHE_DIRECTORY " +
    "(set by systemd), /var/cache/xdpsteer (root only), XDG_CACHE_HOME/xdpsteer, HOME/.cache/xdpsteer.",
  XDG_CACHE_HOME: "See CACHE_DIRECTORY.",
  HOME: "See CACHE_DIRECTORY.",
  XDPSTEER_SYSTEM_LIBRARIES: "If set, the system's libbpf, libelf and zlib are used instead of those in the one file.",
  XDPSTEER_UNCONFINED:
    "If set, the one file keeps all that it was started with: capabilities, system calls, places to write to. To " +
    "find out whether that is what something fails for; docs/security.md says what is given up.",
  XDPSTEER_STATE_DIR:
    "Where the last good configuration and bans are kept: a directory that is there. Default: STATE_DIRECTORY, or " +
    "else /var/lib/xdpsteer.",
  STATE_DIRECTORY: "Set by systemd: see XDPSTEER_STATE_DIR.",
  XDPSTEER_SOCKET: "The control socket of the running xdpsteer, where --socket does not name one.",
  NO_COLOR: "If set and not empty, nothing is printed in colour.",
  TERM: "If it is dumb, top prints plain tables instead of a live screen.",
  LC_ALL:
    "The locale: the first of LC_ALL, LC_CTYPE and LANG that is set and not empty. If it is not a UTF-8 locale, " +
    "text is printed in ASCII. JSON is always UTF-8.",
  LC_CTYPE: "See LC_ALL.",
  LANG: "See LC_ALL.",
  SUDO_USER: "Set by sudo: whose name stands as the setter of a ban, instead of root.",
  NOTIFY_SOCKET:
    "Set by systemd: where run reports that it is ready, reloading or stopping, as sd_notify(3) describes.",
  WATCHDOG_USEC: "Set by systemd: how often run has to report that all its workers run.",
  WATCHDOG_PID: "Set by systemd: the process that WATCHDOG_USEC is for.",
  JOURNAL_STREAM: "Set by systemd: if standard error is the journal, each line of the log begins with its priority.",
  LISTEN_PID: "Set by systemd: the process that LISTEN_FDS is for.",
  LISTEN_FDS:
    "Set by systemd: how many file descriptors from 3 on are handed over: what it has kept of a process that crashed. " +
    "The one file closes all others it finds open.",
  LISTEN_FDNAMES: "Set by systemd: what these are called.",
  FDSTORE:
    "Set by systemd since version 254, and by the unit: how many file descriptors it keeps for the time after a crash.",
  GLIBC_TUNABLES:
    "Added to the settings of malloc that the one file starts itself with. All other variables whose names begin " +
    "with GLIBC_, LD_, DENO_, NODE_, OTEL_ or RUST_ are taken out of its environment.",
};
