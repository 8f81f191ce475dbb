/**
 * The dashboard's files, embedded in the program: read at the first request of one, never from disk.
 *
 * @module
 */
import uplotStyle from "uplot/dist/uPlot.min.css" with { type: "text" };
import uplot from "uplot/dist/uPlot.iife.min.js" with { type: "text" };
import page from "../dashboard/index.html" with { type: "text" };
import style from "../dashboard/style.css" with { type: "text" };
import icon from "../dashboard/icon.svg" with { type: "text" };
import charts from "../dashboard/charts.js" with { type: "text" };
import connection from "../dashboard/connection.js" with { type: "text" };
import dom from "../dashboard/dom.js" with { type: "text" };
import format from "../dashboard/format.js" with { type: "text" };
import main from "../dashboard/main.js" with { type: "text" };
import model from "../dashboard/model.js" with { type: "text" };
import panels from "../dashboard/panels.js" with { type: "text" };
import portMap from "../dashboard/port_map.js" with { type: "text" };
import sources from "../dashboard/sources.js" with { type: "text" };
import tables from "../dashboard/tables.js" with { type: "text" };
import theme from "../dashboard/theme.js" with { type: "text" };
import type { Answer } from "./question.ts";

const HTML = "text/html; charset=utf-8";
const CSS = "text/css; charset=utf-8";
const JAVASCRIPT = "text/javascript; charset=utf-8";

/** As bytes once they have been asked for: whoever takes them does not have copies of his own. */
const FILES: Readonly<Record<string, [type: string, content: string | Uint8Array]>> = {
  "/": [HTML, page],
  "/dashboard/style.css": [CSS, style],
  "/dashboard/uplot.css": [CSS, uplotStyle],
  "/dashboard/icon.svg": ["image/svg+xml", icon],
  "/dashboard/uplot.js": [JAVASCRIPT, uplot],
  "/dashboard/charts.js": [JAVASCRIPT, charts],
  "/dashboard/connection.js": [JAVASCRIPT, connection],
  "/dashboard/dom.js": [JAVASCRIPT, dom],
  "/dashboard/format.js": [JAVASCRIPT, format],
  "/dashboard/main.js": [JAVASCRIPT, main],
  "/dashboard/model.js": [JAVASCRIPT, model],
  "/dashboard/panels.js": [JAVASCRIPT, panels],
  "/dashboard/port_map.js": [JAVASCRIPT, portMap],
  "/dashboard/sources.js": [JAVASCRIPT, sources],
  "/dashboard/tables.js": [JAVASCRIPT, tables],
  "/dashboard/theme.js": [JAVASCRIPT, theme],
};

/** Everything the page is made of comes from here, and nothing in it runs that is not in a file. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** @returns undefined where there is no such file. */
export function dashboardFile(path: string): Answer | undefined {
  const file = FILES[path];
  if (file === undefined) return undefined;
  const [type, content] = file;
  const body = typeof content === "string" ? file[1] = new TextEncoder().encode(content) : content;
  return {
    status: 200,
    headers: {
      "content-type": type,
      "content-security-policy": POLICY,
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
      "cache-control": "no-store",
    },
    body,
  };
}
