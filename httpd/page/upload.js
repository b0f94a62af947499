// Uploads by tus 1.0.0 that survive a reload and a lost connection.
import { element, failure, path, problem, size, span } from "./common.js";

// A piece is one PATCH. Its verdict comes with its end, at the latest, so it is made
// as long as takes about pieceTime; what is cut of one is kept all the same.
const leastPiece = 512 * 1024, mostPiece = 64 * 1024 * 1024, pieceTime = 2000;

const tus = { "Tus-Resumable": "1.0.0" };

class Upload {
  constructor(file, list) {
    this.file = file;
    this.key = "upload:" + [file.name, file.size, file.lastModified].join(":");
    this.piece = leastPiece;
    this.stop = new AbortController();
    this.box = element("li", "", "upload card");
    const top = this.box.appendChild(element("div", "", "top"));
    top.append(element("strong", file.name));
    this.pill = top.appendChild(element("span", "waiting", "pill"));
    this.cancel = top.appendChild(element("button", "Cancel", "link"));
    this.cancel.setAttribute("aria-label", "Cancel " + file.name);
    this.cancel.addEventListener("click", () => this.stop.abort());
    this.bar = this.box.appendChild(document.createElement("progress"));
    this.bar.max = Math.max(file.size, 1);
    this.bar.value = 0;
    this.bar.setAttribute("aria-label", "Sent of " + file.name);
    this.line = this.box.appendChild(element("p", size(file.size), "line soft"));
    this.verdict = this.box.appendChild(element("div"));
    this.verdict.setAttribute("role", "status");
    list.append(this.box);
  }

  async run() {
    try {
      this.stop.signal.throwIfAborted();
      this.state("sending");
      await this.begin();
      let wait = 1000;
      while (this.offset < this.file.size) {
        try {
          await this.patch();
          wait = 1000;
          this.state("sending");
        } catch (e) {
          if (e.final || this.stop.signal.aborted) throw e;
          this.piece = leastPiece;
          this.state("waiting", "wait");
          this.line.textContent = "The connection is lost: trying again in " + span(wait / 1000) + ". " + size(this.offset) + " are kept.";
          await this.pause(wait);
          wait = Math.min(wait * 2, 60000);
          await this.resume().catch(() => {});
        }
      }
      await this.accepted();
    } catch (e) {
      if (this.stop.signal.aborted) await this.forget();
      else this.refused(e.message);
    }
    localStorage.removeItem(this.key);
    this.cancel.remove();
  }

  state(text, kind) {
    this.pill.textContent = text;
    this.pill.className = "pill " + (kind || "");
    this.box.className = "upload card " + (kind || "");
  }

  pause(ms) {
    return new Promise(resolve => {
      setTimeout(resolve, ms);
      this.stop.signal.addEventListener("abort", resolve, { once: true });
    });
  }

  // begin continues what an earlier page began, or starts.
  async begin() {
    this.url = localStorage.getItem(this.key);
    if (this.url) await this.resume().catch(() => { this.url = null; });
    if (this.url) return;
    const name = btoa(String.fromCharCode(...new TextEncoder().encode(this.file.name)));
    const r = await fetch("/tus/", { method: "POST", signal: this.stop.signal, headers: { ...tus, "Upload-Length": this.file.size, "Upload-Metadata": "filename " + name } });
    if (!r.ok) throw await problem(r);
    this.url = r.headers.get("Location");
    localStorage.setItem(this.key, this.url);
    await this.resume();
  }

  // resume asks where to go on.
  async resume() {
    const r = await fetch(this.url, { method: "HEAD", headers: tus, signal: this.stop.signal });
    if (!r.ok) throw new Error("The server does not know this upload.");
    this.offset = Number(r.headers.get("Upload-Offset"));
    this.since = performance.now();
    this.from = this.offset;
    this.show(this.offset);
  }

  // patch sends one piece.
  patch() {
    return new Promise((resolve, reject) => {
      const x = new XMLHttpRequest(), begun = performance.now();
      const part = this.file.slice(this.offset, this.offset + this.piece);
      x.open("PATCH", this.url);
      for (const [key, value] of Object.entries({ ...tus, "Upload-Offset": this.offset, "Content-Type": "application/offset+octet-stream" })) x.setRequestHeader(key, value);
      x.upload.onprogress = e => this.show(this.offset + e.loaded);
      x.onload = () => {
        if (x.status === 204) {
          this.offset = Number(x.getResponseHeader("Upload-Offset"));
          this.entries = Number(x.getResponseHeader("Upload-Entries"));
          this.stored = x.getResponseHeader("Upload-Receipt");
          this.adapt(part.size, performance.now() - begun);
          this.show(this.offset);
          resolve();
          return;
        }
        const e = failure(x.status, x.responseText);
        e.final = x.status >= 400 && x.status < 500 && x.status !== 408 && x.status !== 409 && x.status !== 429;
        reject(e);
      };
      x.onerror = x.onabort = x.ontimeout = () => reject(new Error("The connection is lost."));
      this.stop.signal.addEventListener("abort", () => x.abort(), { once: true });
      x.send(part);
    });
  }

  // adapt makes the next piece as long as the line is fast.
  adapt(bytes, took) {
    const fit = bytes * pieceTime / Math.max(took, 1);
    this.piece = Math.round(Math.min(Math.max(fit, this.piece / 2, leastPiece), this.piece * 2, mostPiece));
  }

  show(sent) {
    this.bar.value = sent;
    const speed = (sent - this.from) / ((performance.now() - this.since) / 1000);
    const parts = [Math.floor(100 * sent / this.bar.max) + " %", size(sent) + " of " + size(this.file.size)];
    if (speed > 0 && sent < this.file.size) parts.push(size(speed) + "/s", span((this.file.size - sent) / speed) + " left");
    if (this.offset) parts.push("checked so far: " + size(this.offset) + (this.entries ? ", " + this.entries.toLocaleString("en") + (this.entries === 1 ? " entry" : " entries") : ""));
    this.line.textContent = parts.join(" \u00b7 ");
  }

  // accepted shows the receipt. An upload that an earlier page ended has no other
  // address for it than its name.
  async accepted() {
    const r = await fetch(this.stored || "/receipts/" + this.url.split("/").slice(3).join("/") + ".json");
    if (!r.ok) throw await problem(r);
    const doc = await r.json();
    if (doc.verdict !== "accepted") throw new Error(doc.rejection.message);
    this.state("accepted", "good");
    this.bar.value = this.bar.max;
    this.line.textContent = "Complete and sound. It is kept as " + doc.stored_as + ".";
    if (doc.stored_as !== doc.name) this.line.textContent += " There is other content under the name " + doc.name + " already; nothing is overwritten.";
    const facts = this.verdict.appendChild(element("dl", "", "facts"));
    for (const [key, value, long] of [["Size", size(doc.size)], ["Unpacked", size(doc.unpacked)], ["Entries", doc.entries.toLocaleString("en")], ["SHA-256", doc.sha256, true]]) {
      const fact = facts.appendChild(element("div", "", long ? "long" : ""));
      fact.append(element("dt", key), element("dd", value));
    }
    const link = this.verdict.appendChild(element("a", "Receipt"));
    link.href = "/receipts/" + path(doc.stored_as) + ".json";
    link.setAttribute("aria-label", "Receipt of " + doc.stored_as);
  }

  refused(text) {
    this.state("refused", "bad");
    this.line.remove();
    this.verdict.append(element("p", text, "reason"));
  }

  // forget drops what the server has. It may still be reading what was sent before the
  // end, and keep that: so it is asked until nothing is there.
  async forget() {
    this.state("cancelled");
    this.line.textContent = "Cancelling\u2026";
    let left = Boolean(this.url);
    for (let tries = 0; left && tries < 20; tries++) {
      await fetch(this.url, { method: "DELETE", headers: tus }).catch(() => {});
      await new Promise(resolve => setTimeout(resolve, 500));
      const r = await fetch(this.url, { method: "HEAD", headers: tus }).catch(() => null);
      left = !r || !r.ok || Number(r.headers.get("Upload-Offset")) > 0;
    }
    this.line.textContent = left ? "Cancelled. The server may keep a part: forget it in the list below." : "Cancelled: nothing is kept.";
  }
}

// renew shows the list of what was sent as it is now.
async function renew() {
  const r = await fetch("/");
  if (!r.ok) return;
  const page = new DOMParser().parseFromString(await r.text(), "text/html").getElementById("sent");
  if (page) document.getElementById("sent").replaceWith(document.importNode(page, true));
}

// unfinished names what earlier pages began.
function unfinished() {
  const note = document.getElementById("open");
  const names = Object.keys(localStorage).filter(k => k.startsWith("upload:")).map(k => k.split(":").slice(1, -2).join(":"));
  note.hidden = !names.length;
  note.textContent = names.length ? "Not finished: " + names.join(", ") + ". Choose the file again, and it goes on where it stopped." : "";
}

// forgetKept is the button beside what is not finished.
async function forgetKept(button) {
  const r = await fetch(button.dataset.forget, { method: "DELETE" });
  const name = decodeURIComponent(button.dataset.forget.split("/").pop());
  for (const key of Object.keys(localStorage)) if (key.startsWith("upload:" + name + ":")) localStorage.removeItem(key);
  if (r.ok || r.status === 404) await renew();
  unfinished();
}

export function uploads() {
  const drop = document.querySelector(".drop");
  if (!drop) return;
  const list = document.getElementById("uploads");
  let queue = Promise.resolve();
  const take = files => {
    for (const f of files) {
      const u = new Upload(f, list);
      queue = queue.then(() => u.run()).then(renew).then(unfinished).catch(() => {});
    }
  };
  drop.querySelector("input").addEventListener("change", e => { take([...e.target.files]); e.target.value = ""; });
  drop.addEventListener("dragover", e => { e.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", e => { e.preventDefault(); drop.classList.remove("over"); take([...e.dataTransfer.files]); });
  document.getElementById("main").addEventListener("click", e => { if (e.target.dataset.forget) forgetKept(e.target).catch(() => {}); });
  unfinished();
}
