// The page's script: uploads by tus 1.0.0 that survive a reload, and a viewer that
// reads pieces of files of any size. It uses no library.
"use strict";

const piece = 8 * 1024 * 1024; // bytes of one PATCH: a refusal shows after at most so many
const viewed = 64 * 1024;      // bytes of a file that the viewer shows at once

function size(n) {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let u = 0;
  while (n >= 1024 && u < units.length - 1) { n /= 1024; u++; }
  return (u ? n.toFixed(1) : n) + " " + units[u];
}

function span(seconds) {
  if (!isFinite(seconds)) return "";
  const s = Math.ceil(seconds);
  if (s < 90) return s + " s";
  if (s < 5400) return Math.round(s / 60) + " min";
  return (s / 3600).toFixed(1) + " h";
}

function element(name, text, className) {
  const e = document.createElement(name);
  if (text) e.textContent = text;
  if (className) e.className = className;
  return e;
}

// Upload sends one file and shows how it goes.
class Upload {
  constructor(file, list) {
    this.file = file;
    this.box = element("div", "", "upload");
    this.box.append(element("strong", file.name));
    this.bar = this.box.appendChild(document.createElement("progress"));
    this.bar.max = Math.max(file.size, 1);
    this.bar.setAttribute("aria-label", "sent of " + file.name);
    this.line = this.box.appendChild(element("p", "", "soft"));
    this.verdict = this.box.appendChild(element("p"));
    this.verdict.setAttribute("role", "status");
    list.prepend(this.box);
    this.key = "upload:" + [file.name, file.size, file.lastModified].join(":");
  }

  async run() {
    try {
      await this.begin();
      let wait = 1000;
      while (this.offset < this.file.size) {
        try {
          await this.patch();
          wait = 1000;
        } catch (e) {
          if (e.final) throw e;
          this.line.textContent = "the connection is lost: trying again in " + span(wait / 1000) + "; " + size(this.offset) + " are kept";
          await new Promise(r => setTimeout(r, wait));
          wait = Math.min(wait * 2, 60000);
          await this.resume().catch(() => {});
        }
      }
      await this.receipt();
    } catch (e) {
      this.end("bad", e.message);
    }
    localStorage.removeItem(this.key);
  }

  // begin continues what an earlier page began, or starts.
  async begin() {
    this.url = localStorage.getItem(this.key);
    if (this.url) {
      await this.resume().catch(() => { this.url = null; });
    }
    if (this.url) return;
    const name = btoa(String.fromCharCode(...new TextEncoder().encode(this.file.name)));
    const r = await fetch("/tus/", { method: "POST", headers: { "Tus-Resumable": "1.0.0", "Upload-Length": this.file.size, "Upload-Metadata": "filename " + name } });
    if (!r.ok) throw await problem(r);
    this.url = r.headers.get("Location");
    localStorage.setItem(this.key, this.url);
    await this.resume();
  }

  // resume asks where to go on.
  async resume() {
    const r = await fetch(this.url, { method: "HEAD", headers: { "Tus-Resumable": "1.0.0" } });
    if (!r.ok) throw new Error("the server does not know this upload");
    this.offset = Number(r.headers.get("Upload-Offset"));
    this.since = performance.now();
    this.from = this.offset;
    this.show(this.offset);
  }

  // patch sends one piece.
  patch() {
    return new Promise((resolve, reject) => {
      const x = new XMLHttpRequest();
      x.open("PATCH", this.url);
      x.setRequestHeader("Tus-Resumable", "1.0.0");
      x.setRequestHeader("Upload-Offset", this.offset);
      x.setRequestHeader("Content-Type", "application/offset+octet-stream");
      x.upload.onprogress = e => this.show(this.offset + e.loaded);
      x.onload = () => {
        if (x.status === 204) {
          this.offset = Number(x.getResponseHeader("Upload-Offset"));
          this.show(this.offset);
          resolve();
          return;
        }
        const e = failure(x.status, x.responseText);
        e.final = x.status >= 400 && x.status < 500 && x.status !== 408 && x.status !== 409;
        reject(e);
      };
      x.onerror = x.ontimeout = () => reject(new Error("the connection is lost"));
      x.send(this.file.slice(this.offset, this.offset + piece));
    });
  }

  show(sent) {
    this.bar.value = sent;
    const speed = (sent - this.from) / ((performance.now() - this.since) / 1000);
    const left = speed > 0 ? ", " + size(speed) + "/s, " + span((this.file.size - sent) / speed) + " left" : "";
    this.line.textContent = size(sent) + " of " + size(this.file.size) + " sent, " + size(this.offset) + " checked" + left;
  }

  async receipt() {
    const name = this.url.split("/").slice(3).join("/");
    const r = await fetch("/receipts/" + name + ".json");
    if (!r.ok) throw await problem(r);
    const doc = await r.json();
    if (doc.verdict !== "accepted") throw new Error(doc.rejection.message);
    this.end("good", "accepted as " + doc.stored_as + ": " + doc.entries + " entries, SHA-256 " + doc.sha256);
  }

  end(kind, text) {
    this.verdict.className = kind;
    this.verdict.textContent = text;
    this.line.textContent = kind === "good" ? size(this.file.size) : "";
  }
}

async function problem(r) { return failure(r.status, await r.text()); }

function failure(status, text) {
  try {
    return new Error(JSON.parse(text).title);
  } catch {
    return new Error("the server answered " + status);
  }
}

function uploads() {
  const drop = document.querySelector(".drop");
  if (!drop) return;
  const list = document.getElementById("uploads");
  const take = async files => { for (const f of files) await new Upload(f, list).run(); };
  drop.querySelector("input").addEventListener("change", e => { take([...e.target.files]); e.target.value = ""; });
  drop.addEventListener("dragover", e => { e.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", e => { e.preventDefault(); drop.classList.remove("over"); take([...e.dataTransfer.files]); });
  const open = Object.keys(localStorage).filter(k => k.startsWith("upload:"));
  if (open.length) {
    document.getElementById("open").textContent = "Not finished: " + open.map(k => k.split(":")[1]).join(", ") + ". Choose the file again and it goes on where it stopped.";
  }
}

// viewer shows a file piece by piece, whatever its size.
function viewer() {
  const view = document.querySelector(".view[data-size]");
  if (!view) return;
  const url = view.dataset.url, total = Number(view.dataset.size);
  const where = document.getElementById("where");
  let at = 0;
  async function show(offset) {
    at = Math.max(0, Math.min(offset, total - 1));
    if (total === 0) { view.textContent = ""; where.textContent = "empty"; return; }
    const end = Math.min(at + viewed, total);
    const r = await fetch(url, { headers: { Range: "bytes=" + at + "-" + (end - 1) } });
    if (!r.ok) { view.textContent = (await problem(r)).message; return; }
    view.textContent = new TextDecoder().decode(await r.arrayBuffer());
    view.scrollTop = 0;
    where.textContent = "bytes " + at.toLocaleString() + " to " + end.toLocaleString() + " of " + total.toLocaleString();
  }
  const on = (id, f) => document.getElementById(id).addEventListener("click", () => show(f()));
  on("first", () => 0);
  on("back", () => at - viewed);
  on("next", () => (at + viewed < total ? at + viewed : at));
  on("last", () => total - viewed);
  show(Number(new URLSearchParams(location.search).get("at") || 0));
}

// arrivals shows verdicts as they come, newest first.
function arrivals() {
  const table = document.getElementById("arrivals");
  if (!table) return;
  const rows = table.tBodies[0];
  new EventSource("/arrivals").onmessage = e => {
    const a = JSON.parse(e.data);
    const row = rows.insertRow(0);
    const link = element("a", a.tenant + "/" + a.name);
    link.href = "/ui/" + (a.tenant + "/" + a.name).split("/").map(encodeURIComponent).join("/") + ".d";
    row.insertCell().append(a.verdict === "accepted" ? link : a.tenant + "/" + a.name);
    row.append(element("td", size(a.size), "number"));
    row.append(element("td", new Date(a.time).toLocaleString(), "wide"));
    row.append(element("td", a.message || a.verdict, a.verdict === "accepted" ? "good" : "bad"));
    while (rows.rows.length > 50) rows.deleteRow(50);
    table.hidden = false;
    document.getElementById("quiet").hidden = true;
  };
}

// stream shows a text answer as it comes.
async function stream(url, into, signal) {
  into.hidden = false;
  into.textContent = "";
  const r = await fetch(url, { signal });
  if (!r.ok) { into.textContent = (await problem(r)).message; return; }
  const reader = r.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    into.append(value);
  }
  if (!into.textContent) into.textContent = "Nothing found.";
}

// search runs grep in what the page shows; a new search ends the one before.
function search() {
  const form = document.getElementById("search");
  if (!form) return;
  let running;
  form.addEventListener("submit", e => {
    e.preventDefault();
    if (running) running.abort();
    running = new AbortController();
    const found = document.getElementById("found");
    stream(form.dataset.url + "?" + new URLSearchParams(new FormData(form)), found, running.signal).catch(e => {
      if (e.name !== "AbortError") found.append("\nthe connection is lost");
    });
  });
}

// about fills in what is known of a bundle when somebody asks.
function about() {
  const box = document.querySelector("details[data-url]");
  if (box) box.addEventListener("toggle", () => stream(box.dataset.url, box.querySelector("pre")), { once: true });
}

uploads();
viewer();
search();
about();
arrivals();
