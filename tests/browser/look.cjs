// Opens pages in headless Chromium, and says as JSON what is wrong with them.
//
//     NODE_PATH=…/node_modules node look.cjs URL FOLDER PATH...
//
// Each page below URL is looked at in two widths and both colour schemes; the screenshots are written to FOLDER. It needs
// playwright-core and axe-core, and the chromium that is installed.
const fs = require("node:fs");
const { chromium } = require("playwright-core");

const axe = fs.readFileSync(require.resolve("axe-core"), "utf-8");
const [url, folder, ...paths] = process.argv.slice(2);
const WIDTHS = [390, 1280];
const SERIOUS = ["serious", "critical"];

async function look(browser, path, width, colorScheme) {
  const problems = [];
  const say = (text) => problems.push(`${path}, ${width} px, ${colorScheme}: ${text}`);
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme });
  const page = await context.newPage();
  page.on("console", (message) => message.type() === "error" && say(`console: ${message.text()}`));
  page.on("pageerror", (error) => say(`script: ${error.message}`));
  page.on("request", (request) => request.url() !== new URL(path, url).href && say(`loads ${request.url()}`));
  await page.goto(new URL(path, url).href);
  const [inner, outer] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  if (inner > outer) say(`is ${inner} px wide`);
  await page.screenshot({ path: `${folder}/${path.replaceAll("/", "-")}-${width}-${colorScheme}.png`, fullPage: true });
  await page.evaluate(() => document.querySelectorAll("details").forEach((one) => { one.open = true; }));
  if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) say("is too wide when all is open");
  await page.evaluate(axe);
  const { violations } = await page.evaluate("axe.run()");
  for (const { id, impact, help, nodes } of violations) {
    if (SERIOUS.includes(impact)) say(`axe: ${id}, ${help}: ${nodes[0].html}`);
  }
  for (const problem of await behaviour(page)) say(problem);
  await context.close();
  return problems;
}

// What the script does, and that a keyboard reaches it.
async function behaviour(page) {
  const problems = [];
  const query = page.locator("#query");
  if (await query.count()) {
    const rows = page.locator("#list tbody tr:visible");
    const all = await rows.count();
    await query.fill("no such repository");
    if (await rows.count()) problems.push("the search finds what is not there");
    await query.fill((await page.locator("#list tbody th").first().textContent()).toUpperCase());
    if ((await rows.count()) !== 1) problems.push(`the search finds ${await rows.count()} of ${all} by a name`);
  }
  const host = page.locator("[data-host]").first();
  if ((await host.count()) && (await host.textContent()) !== new URL(url).host) problems.push("commands lack the host");
  const button = page.locator("button.copy").first();
  if (await button.count()) {
    await button.focus();
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => /Copied|Selected/.test(document.querySelector("#said").textContent));
  }
  return problems;
}

(async () => {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu"], // as root in a container there is no sandbox
  });
  const problems = [];
  for (const path of paths) {
    for (const width of WIDTHS) {
      for (const scheme of ["light", "dark"]) problems.push(...(await look(browser, path, width, scheme)));
    }
  }
  await browser.close();
  console.log(JSON.stringify(problems));
})().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
