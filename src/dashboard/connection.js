/** The stream of events, opened again whenever it breaks, for as long as the page is there. */

/** A tick comes each second: without one for as long, what is shown is old. */
const STALE_MS = 3500;
const RETRY_MS = 1000;
const RETRY_MAX_MS = 5000;

/**
 * @param handlers A function per kind of event, given its data.
 * @param onState Told "connecting", "live", "stale" or "reconnecting".
 */
export function connect(handlers, onState) {
  let retryMs = RETRY_MS;
  let staleTimer;
  const open = () => {
    const source = new EventSource("/v1/stream");
    const fresh = () => {
      retryMs = RETRY_MS;
      onState("live");
      clearTimeout(staleTimer);
      staleTimer = setTimeout(() => onState("stale"), STALE_MS);
    };
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, ({ data }) => {
        handle(JSON.parse(data));
        if (name === "tick") fresh();
      });
    }
    source.addEventListener("error", () => {
      clearTimeout(staleTimer);
      // The browser would not come back after an answer such as 503.
      source.close();
      onState("reconnecting");
      setTimeout(open, retryMs);
      retryMs = Math.min(RETRY_MAX_MS, retryMs * 1.5);
    });
  };
  onState("connecting");
  open();
}
