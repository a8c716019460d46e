
"use strict";
// Everything works without this: it searches the list, copies, and writes the address of the page into commands.
const said = document.getElementById("said");

const query = document.getElementById("query");
if (query) {
  const rows = [...document.querySelectorAll("#list tbody tr")].map((row) => [row, row.textContent.toLowerCase()]);
  const search = () => {
    const words = query.value.toLowerCase().split(/\s+/);
    let count = 0;
    for (const [row, text] of rows) {
      row.hidden = !words.every((word) => text.includes(word));
      count += !row.hidden;
    }
    said.textContent = `${count} of ${rows.length} repositories`;
  };
  query.addEventListener("input", search);
  document.getElementById("search").hidden = false;
  if (query.value) search(); // what the browser has remembered
}

// Clients look for a registry at the root of a host, so below a path they would not find it.
const front = document.querySelector("nav a");
if (/^https?:$/.test(location.protocol) && front && new URL(".", front.href).pathname === "/") {
  for (const host of document.querySelectorAll("[data-host]")) host.textContent = location.host;
}

const copy = async (code) => {
  try {
    await navigator.clipboard.writeText(code.textContent);
    return "Copied";
  } catch { // without TLS there is no clipboard: the person presses the keys
    getSelection().selectAllChildren(code);
    return "Selected";
  }
};
for (const button of document.querySelectorAll("button.copy")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    said.textContent = button.textContent = await copy(button.closest(".copyable").querySelector("code"));
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}

// A link to a version opens it.
const open = () => {
  const target = document.getElementById(location.hash.slice(1));
  if (target && target.tagName === "DETAILS") target.open = true;
};
addEventListener("hashchange", open);
open();
