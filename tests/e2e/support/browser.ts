/**
 * Headless Chromium inside a namespace of a test network: the dashboard is on that namespace's loopback. Driven over a
 * pipe, so that no port is opened.
 *
 * @module
 */
import puppeteer, { type Browser as Puppet, type Page } from "puppeteer-core";
import type { TestNetwork } from "../../support/netns.ts";
import { TempDir } from "./command.ts";

export type { Page } from "puppeteer-core";

const CHROMIUM = "/usr/bin/chromium";
const START_MS = 120_000;
const CLOSE_MS = 30_000;

const OPTIONS = [
  "--headless=new",
  "--no-sandbox", // it is root
  "--disable-gpu",
  "--disable-dev-shm-usage",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-extensions",
  "--disable-sync",
  "--mute-audio",
  "--no-default-browser-check",
  "--no-first-run",
  "--hide-scrollbars",
  "--force-color-profile=srgb",
];

export interface View {
  readonly width: number;
  readonly height: number;
  readonly scheme?: "light" | "dark";
  /** Device pixels for each CSS pixel. Default 1. */
  readonly scale?: number;
  readonly touch?: boolean;
}

export class Browser implements AsyncDisposable {
  /** What pages complained of: console errors, uncaught exceptions, violations of their policy. */
  readonly complaints: string[] = [];

  private constructor(private readonly puppet: Puppet, private readonly profile: TempDir) {}

  static async start(network: TestNetwork): Promise<Browser> {
    const profile = await TempDir.create();
    try {
      const puppet = await puppeteer.launch({
        executablePath: "/sbin/ip",
        ignoreDefaultArgs: true,
        args: [
          ...["netns", "exec", network.names.steer, CHROMIUM, ...OPTIONS],
          ...["--remote-debugging-pipe", `--user-data-dir=${profile.path}`, "about:blank"],
        ],
        env: { PATH: "/usr/bin:/bin:/usr/sbin:/sbin", HOME: profile.path, LANG: "C.UTF-8", TZ: "UTC" },
        pipe: true,
        timeout: START_MS,
        handleSIGINT: false,
        handleSIGTERM: false,
        handleSIGHUP: false,
      });
      return new Browser(puppet, profile);
    } catch (error) {
      await profile[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Opens an address in a new page. What the page complains of is collected. */
  async open(url: string, view: View): Promise<Page> {
    const page = await this.puppet.newPage();
    page.setDefaultTimeout(START_MS);
    page.on("console", (message) => {
      if (["error", "warn"].includes(message.type())) this.complaints.push(`${message.type()}: ${message.text()}`);
    });
    page.on("pageerror", (error) => this.complaints.push(`uncaught: ${error}`));
    await show(page, view);
    await page.goto(url, { waitUntil: "domcontentloaded" });
    return page;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const child = this.puppet.process();
    const late = setTimeout(() => child?.kill("SIGKILL"), CLOSE_MS);
    await this.puppet.close().catch(() => child?.kill("SIGKILL"));
    clearTimeout(late);
    await this.profile[Symbol.asyncDispose]();
  }
}

/** Gives a page another size, and light or dark. */
export async function show(
  page: Page,
  { width, height, scheme = "light", scale = 1, touch = false }: View,
): Promise<void> {
  await page.setViewport({ width, height, deviceScaleFactor: scale, isMobile: touch, hasTouch: touch });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
}
