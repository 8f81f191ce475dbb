/**
 * What the user's locale allows text for people to hold. JSON, and all else that programs read, is UTF-8 whatever the
 * locale is.
 *
 * @module
 */

/** The variables that name the character set, the strongest first: setlocale(3). An empty one counts as unset. */
const VARIABLES = ["LC_ALL", "LC_CTYPE", "LANG"] as const;

/** ASCII of the same width for each character that xdpsteer itself prints beyond ASCII. */
const PLAIN: Readonly<Record<string, string>> = {
  "…": "~",
  "·": ".",
  "◀": "<",
  "▲": "^",
  "▼": "v",
  "↑": "^",
  "↓": "v",
  "█": "#",
  "░": "-",
  "▁": "_",
  "▂": ".",
  "▃": ":",
  "▄": "-",
  "▅": "=",
  "▆": "+",
  "▇": "#",
};

/** Whether the locale's character set is UTF-8. Without any locale it is the C locale's, ASCII. */
export function isUtf8(variable: (name: string) => string | undefined): boolean {
  const locale = VARIABLES.map(variable).find((value) => value !== undefined && value !== "") ?? "";
  return /\.utf-?8(@|$)/i.test(locale);
}

/** The text in ASCII; characters that have no substitute become "?", so that columns stay where they are. */
export function toAscii(text: string): string {
  // deno-lint-ignore no-control-regex -- ASCII is what is left alone
  return text.replace(/[^\x00-\x7f]/gu, (character) => PLAIN[character] ?? "?");
}

const utf8 = isUtf8((name) => Deno.env.get(name));

/** The text as this process's locale can show it. */
export function forLocale(text: string): string {
  return utf8 ? text : toAscii(text);
}
