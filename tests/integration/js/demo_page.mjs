// The demo page in Chromium: tabs that are told what to do, and what they show.
// Arguments: the browser's program, and what else it is started with.

import { chromium } from "playwright-core";
import { serve, tell } from "./commands.mjs";

const WAIT_MS = 15_000;
const [program, ...more] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: program, args: ["--no-sandbox", ...more] });
const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
const tabs = new Map();

async function open({ tab, url }) {
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT_MS);
  page.on("pageerror", (error) => tell("trouble", { tab, text: String(error) }));
  tabs.set(tab, page);
  await page.goto(url);
}

async function close({ tab }) {
  await tabs.get(tab).close();
}

// Returns when something that matches the selector shows the text.
async function shows({ tab, selector, text }) {
  await tabs.get(tab).locator(selector).filter({ hasText: text }).first().waitFor();
}

async function texts({ tab, selector }) {
  return tabs.get(tab).locator(selector).allInnerTexts();
}

async function fill({ tab, selector, text }) {
  await tabs.get(tab).locator(selector).fill(text);
}

async function click({ tab, selector }) {
  await tabs.get(tab).locator(selector).click();
}

async function resize({ tab, width, height }) {
  await tabs.get(tab).setViewportSize({ width, height });
}

async function screenshot({ tab, path }) {
  await tabs.get(tab).screenshot({ path });
}

// An EventSource of the browser's own, without the page's code around it.
async function listen({ tab, url }) {
  await tabs.get(tab).evaluate((address) => {
    const source = new EventSource(address);
    globalThis.heard = [];
    source.onopen = () => heard.push("open");
    source.onerror = () => heard.push(["CONNECTING", "OPEN", "CLOSED"][source.readyState]);
    source.onmessage = (event) => heard.push(JSON.parse(event.data).data);
  }, url);
}

// Returns all it has heard as soon as that has so many of one kind.
async function heard({ tab, what, times }) {
  const enough = ([what, times]) => heard.filter((each) => each === what).length >= times;
  await tabs.get(tab).waitForFunction(enough, [what, times]);
  return tabs.get(tab).evaluate(() => heard);
}

// The protocol by which the page came.
async function protocol({ tab }) {
  return tabs.get(tab).evaluate(() => performance.getEntriesByType("navigation")[0].nextHopProtocol);
}

// How far the page reaches to the right: more than its window means that it must be scrolled sideways.
async function reach({ tab }) {
  return tabs.get(tab).evaluate(() => document.documentElement.scrollWidth);
}

tell("launched", { version: browser.version() });
await serve({ open, close, shows, texts, fill, click, resize, screenshot, reach, listen, heard, protocol });
