// What the parts of the page share.

export function size(n) {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let u = 0;
  while (n >= 1024 && u < units.length - 1) { n /= 1024; u++; }
  return (u ? n.toFixed(1) : n) + " " + units[u];
}

export function span(seconds) {
  if (!isFinite(seconds)) return "";
  const s = Math.ceil(seconds);
  if (s < 90) return s + " s";
  if (s < 5400) return Math.round(s / 60) + " min";
  return (s / 3600).toFixed(1) + " h";
}

export function element(name, text, className) {
  const e = document.createElement(name);
  if (text) e.textContent = text;
  if (className) e.className = className;
  return e;
}

// path is a name as it stands in an address.
export function path(name) { return name.split("/").map(encodeURIComponent).join("/"); }

// problem is the Error for an answer that is no success.
export async function problem(r) { return failure(r.status, await r.text()); }

export function failure(status, text) {
  if (status === 401) return new Error("You are logged out: reload the page and log in again. What was sent is kept.");
  try {
    return new Error(JSON.parse(text).title);
  } catch {
    return new Error("The server answered " + status + ".");
  }
}
