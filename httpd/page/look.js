// What support looks with: a viewer that reads pieces of files of any size, search,
// the biggest files, and what arrives.
import { element, path, problem, size } from "./common.js";

const viewed = 64 * 1024; // bytes of a file that the viewer shows at once
const mostHits = 2000;    // lines of a search that are shown

const newline = 10;

// viewer shows a file piece by piece. Pieces begin and end with lines where there are
// any.
export function viewer() {
  const view = document.querySelector(".view[data-size]");
  if (!view) return;
  const url = view.dataset.url, total = Number(view.dataset.size);
  const where = document.getElementById("where"), slider = document.getElementById("at");
  let at = 0, end = 0, turn = new AbortController();
  async function show(offset, exact) {
    turn.abort(); // somebody went on
    turn = new AbortController();
    if (total === 0) { where.textContent = "The file is empty."; return; }
    const from = Math.max(0, Math.min(offset, total - 1));
    const r = await fetch(url, { headers: { Range: "bytes=" + from + "-" + (Math.min(from + viewed, total) - 1) }, signal: turn.signal });
    if (!r.ok) { view.textContent = (await problem(r)).message; return; }
    const bytes = new Uint8Array(await r.arrayBuffer());
    const skip = exact || from === 0 ? 0 : bytes.indexOf(newline) + 1;
    const last = from + bytes.length < total ? bytes.lastIndexOf(newline) + 1 : bytes.length;
    at = from + skip;
    end = last > skip ? from + last : from + bytes.length;
    fill(new TextDecoder().decode(bytes.subarray(skip, end - from)), exact && offset > 0);
    slider.value = Math.round(1000 * at / Math.max(total - 1, 1));
    slider.setAttribute("aria-valuetext", "byte " + at.toLocaleString("en"));
    where.textContent = "bytes " + at.toLocaleString("en") + " to " + end.toLocaleString("en") + " of " + total.toLocaleString("en");
  }
  // fill marks the first line where a search led to it.
  function fill(text, marked) {
    const cut = marked ? text.indexOf("\n") : -1;
    view.replaceChildren();
    if (marked) view.append(element("mark", cut < 0 ? text : text.slice(0, cut)));
    view.append(marked ? (cut < 0 ? "" : text.slice(cut)) : text);
    view.scrollTop = 0;
  }
  const go = (offset, exact) => show(offset, exact).catch(e => { if (e.name !== "AbortError") where.textContent = "The connection is lost."; });
  const on = (id, f) => document.getElementById(id).addEventListener("click", f);
  on("first", () => go(0));
  on("back", () => go(at - viewed));
  on("next", () => { if (end < total) go(end, true).then(() => view.querySelector("mark")?.replaceWith(view.querySelector("mark").textContent)); });
  on("last", () => go(total - viewed));
  slider.addEventListener("input", () => go(Math.floor(slider.value / 1000 * (total - 1))));
  const asked = new URLSearchParams(location.search).get("at");
  go(Number(asked || 0), asked !== null);
}

// lines gives the lines of a text answer as they come.
async function* lines(r) {
  const reader = r.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    yield* parts;
  }
  if (rest) yield rest;
}

const hit = /^(\/.*?):(\d+):(\d+):(.*)$/;

// Results shows the lines of a search by their files.
class Results {
  constructor(box) {
    this.list = box.querySelector("ol");
    this.status = box.querySelector("[role=status]");
    this.list.replaceChildren();
    this.count = 0;
    this.file = "";
    this.status.textContent = "Searching\u2026";
  }

  add(text) {
    const found = text.match(hit);
    if (!found) {
      this.list.append(element("li", text, "soft"));
      return;
    }
    const [, name, line, offset, content] = found;
    if (++this.count > mostHits) return;
    if (name !== this.file) this.list.append(element("li", name.replace(/^.*?\.tgz\.d\//i, ""), "file"));
    this.file = name;
    const link = element("a");
    link.href = "/ui" + path(name) + "?at=" + offset;
    link.append(element("span", line), element("code", content.slice(0, 500)));
    this.list.appendChild(element("li")).append(link);
  }

  end() {
    const n = this.count;
    this.status.textContent = n === 0 ? "Nothing found." : n === 1 ? "1 line matches." : n.toLocaleString("en") + " lines match" + (n > mostHits ? "; the first " + mostHits.toLocaleString("en") + " are shown." : ".");
  }
}

// search runs grep in what the page shows; a new search ends the one before.
export function search() {
  const form = document.getElementById("search");
  if (!form) return;
  const box = document.getElementById("found");
  let running = new AbortController();
  const run = async signal => {
    box.hidden = false;
    const results = new Results(box);
    const r = await fetch(form.dataset.url + "?b=1&" + new URLSearchParams(new FormData(form)), { signal });
    if (!r.ok) throw await problem(r);
    for await (const line of lines(r)) results.add(line);
    results.end();
  };
  form.addEventListener("submit", e => {
    e.preventDefault();
    running.abort();
    running = new AbortController();
    run(running.signal).catch(e => { if (e.name !== "AbortError") box.querySelector("[role=status]").textContent = e.message; });
  });
}

// biggest fills in the biggest files when somebody asks.
export function biggest() {
  const box = document.getElementById("biggest");
  if (!box) return;
  const list = box.querySelector("ol");
  box.addEventListener("toggle", async () => {
    const r = await fetch(box.dataset.url);
    if (!r.ok) { list.append(element("li", (await problem(r)).message)); return; }
    const { entries } = await r.json();
    if (!entries.length) list.append(element("li", "There are no files.", "soft"));
    for (const f of entries) {
      const row = list.appendChild(element("li"));
      const link = row.appendChild(element("a", f.name));
      link.href = box.dataset.url.replace(/^\/biggest/, "/ui") + ".d/" + path(f.name);
      row.append(element("span", size(f.size), "number soft"));
      const bar = row.appendChild(element("meter"));
      bar.max = Math.max(entries[0].size, 1);
      bar.value = f.size;
      bar.setAttribute("aria-label", "Share of the biggest, " + f.name);
    }
  }, { once: true });
}

// arrivals shows verdicts as they come, newest first.
export function arrivals() {
  const list = document.getElementById("arrivals");
  if (!list) return;
  new EventSource("/arrivals").onmessage = e => {
    const a = JSON.parse(e.data), good = a.verdict === "accepted", name = a.tenant + "/" + a.name;
    const row = element("li"), what = row.appendChild(element("div", "", "what"));
    if (good) what.appendChild(element("a", name)).href = "/ui/" + path(name) + ".d";
    else what.append(element("strong", name));
    what.append(element("span", size(a.size) + " \u00b7 " + new Date(a.time).toLocaleString("en-GB"), "soft"));
    if (a.message) what.append(element("p", a.message, "reason"));
    row.append(element("span", a.verdict, "pill " + (good ? "good" : "bad")));
    list.prepend(row);
    while (list.children.length > 50) list.lastChild.remove();
    list.hidden = false;
    document.getElementById("quiet").hidden = true;
  };
}

// copying is the button beside a line to copy. Where the page may not write to the
// clipboard, as over plain HTTP, it selects the line.
export function copying() {
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", async () => {
      const line = document.getElementById(button.dataset.copy);
      try {
        await navigator.clipboard.writeText(line.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(line);
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }
}
