/**
 * How another xdpsteer is known: by what `/livez` answers on a socket in use, and by the lock beside the socket.
 *
 * @module
 */
export const ALIVE_PATH = "/livez";
export const ALIVE = "ok";
export const NOT_ALIVE = "A worker does not run";
export const SILENT = "The control thread does not answer";

/** Behind the path of a control socket, that of the lock that gives the right to it. */
export const LOCK_SUFFIX = ".lock";
