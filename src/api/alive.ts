/**
 * What `/livez` answers: by this whoever finds its socket in use knows another xdpsteer.
 *
 * @module
 */
export const ALIVE_PATH = "/livez";
export const ALIVE = "ok";
export const NOT_ALIVE = "A worker does not run";
export const SILENT = "The control thread does not answer";
