// Everything that is shown is set as text, never as markup.
"use strict";

const at = (id) => document.getElementById(id);
const REASONS = { bought_before: "bought before", popular: "popular", popular_in_category: "popular in its category" };

function made(kind, text, name) {
  const found = document.createElement(kind);
  found.textContent = text;
  if (name) found.className = name;
  return found;
}

async function asked(path, parameters = {}) {
  const answer = await fetch(`/ui/api/${path}?${new URLSearchParams(parameters)}`, { headers: { accept: "application/json" } });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.detail || body.title || `The API answers ${answer.status}.`);
  return body;
}

// By part: each keeps what it reports until it asks again, and one that works does not wipe another's failure.
const problems = {};

function report(part, ...messages) {
  problems[part] = messages;
  at("problem").textContent = [...new Set(Object.values(problems).flat())].join("\n");
}

// Of each part what was asked last alone is shown: an earlier answer, or its failure, may come later.
const newest = {};
const superseded = (part) => (newest[part] = (newest[part] || 0) + 1);

// Emptied where it asks for nothing or fails: nothing of another choice stays.
async function fill(part, empty, asking, show) {
  report(part);
  const own = superseded(part);
  if (!asking) return empty();
  try {
    const found = await asking();
    if (own === newest[part]) show(found);
  } catch (error) {
    if (own !== newest[part]) return;
    empty();
    report(part, error.message);
  }
}

function listed(id, items, empty) {
  at(id).replaceChildren(...(items.length ? items : [made("li", empty, "dim")]));
}

function product(item, beside) {
  const row = made("li", "");
  row.append(made("span", item.name || item.item));
  row.append(" ", made("span", [item.name ? item.item : null, beside].filter(Boolean).join(" · "), "dim"));
  return row;
}

function reason(item, segment) {
  if (item.reason === "goes_with") return `goes with ${item.reason_name || item.reason_item}`;
  if (item.reason === "popular_in_category" && segment) return `popular in ${segment}`;
  return REASONS[item.reason] || item.reason;
}

const counted = (count) => `${count} product${count === 1 ? "" : "s"}`;
const times = (count) => (count === 1 ? "once" : `on ${count} days`);

function showLists(found, prefix) {
  for (const slot of ["again", "new"]) {
    const list = found.lists[slot];
    const source = list.segment ? `segment ${list.segment}` : list.source;
    at(`${prefix}${slot}-title`).textContent = `${slot === "again" ? "Again" : "New"}, ${found.version} (${source})`;
    listed(`${prefix}${slot}`, list.items.map((item) => product(item, reason(item, list.segment))), "no list");
  }
}

function emptyCustomer() {
  document.documentElement.classList.toggle("beside", Boolean(at("beside").value));
  at("customer-title").textContent = "Customer";
  for (const id of ["bought", "again", "new", "other-again", "other-new"]) at(id).replaceChildren();
  for (const prefix of ["", "other-"]) {
    at(`${prefix}again-title`).textContent = "Again";
    at(`${prefix}new-title`).textContent = "New";
  }
}

function showUser() {
  const user = at("user").value, version = at("version").value, beside = at("beside").value;
  at("status").textContent = user ? "" : "Name a customer to see its lists.";
  const versions = [version, beside].filter(Boolean);
  const asking = () => Promise.allSettled(versions.map((each) => asked("user", { user, version: each })));
  return fill("user", emptyCustomer, user && asking, (answers) => {
    const [found, other] = answers.map((each) => each.value);
    emptyCustomer();
    if (found) {
      listed("bought", found.bought.map((item) => product(item, `${times(item.days)}, last ${item.last}`)), found.problem || "nothing that is known");
      showLists(found, "");
    }
    if (other) showLists(other, "other-");
    report("user", ...answers.filter((each) => each.reason).map((each) => each.reason.message));
    if (!found && !other) return;
    at("customer-title").textContent = `Customer ${user}`;
    at("status").textContent = `Shown: customer ${user}, ${versions.filter((_, place) => answers[place].value).join(" beside ")}.`;
  });
}

const number = (value) => (value === null || value === undefined ? "–" : Number(value).toLocaleString("en", { maximumFractionDigits: 3 }));

function emptyGate() {
  at("verdict").textContent = "";
  at("figures").replaceChildren();
}

function showGate() {
  const version = at("version").value;
  return fill("gate", emptyGate, () => asked("gate", { version }), (found) => {
    at("verdict").textContent = found.verdict === null ? `${version}: not judged${found.problem ? ` (${found.problem})` : ""}` : `${version}: ${found.verdict.replaceAll("_", " ")}`;
    at("figures").replaceChildren(...found.figures.map((each) => {
      const row = document.createElement("tr");
      const interval = each.low === null || each.low === undefined ? "–" : `${number(each.low)} to ${number(each.high)}`;
      for (const text of [each.figure, each.slot, number(each.value), interval, number(each.limit || null), number(each.users)]) row.append(made("td", text));
      row.append(made("td", String(each.verdict).replaceAll("_", " "), each.verdict === "refused" ? "refused" : ""));
      return row;
    }));
  });
}

let takenItem = null;

function emptyWith() {
  at("with-title").textContent = "What goes with it";
  at("with").replaceChildren();
}

function showWith(announce = () => {}) {
  at("with").replaceChildren();
  const asking = () => asked("product", { item: takenItem, version: at("version").value });
  return fill("with", emptyWith, takenItem && asking, (found) => {
    at("with-title").textContent = `What goes with ${found.name || found.item}`;
    listed("with", found.goes_with.map((each) => product(each, `similarity ${number(each.similarity)}`)), "nothing that is known");
    announce(found.goes_with.length);
  });
}

function address() {
  const kept = new URLSearchParams();
  for (const id of ["user", "version", "beside"]) if (at(id).value) kept.set(id, at(id).value);
  history.replaceState(null, "", `/ui?${kept}`);
}

function begin(found) {
  if (!found.versions.length) throw new Error("No version of the lists is in Valkey yet.");
  const given = new URLSearchParams(location.search);
  const { version: first } = found.versions.find((each) => each.served) || found.versions[0];
  const gone = [];
  for (const [id, otherwise, instead] of [["version", first, `shown is ${first}`], ["beside", "", "nothing is shown beside"]]) {
    const options = found.versions.map((each) => {
      const option = made("option", each.version + (each.served ? " (served)" : ""));
      option.value = each.version;
      return option;
    });
    if (!otherwise) {
      const none = made("option", "none");
      none.value = "";
      options.unshift(none);
    }
    const named = given.get(id);
    const known = found.versions.some((each) => each.version === named);
    at(id).replaceChildren(...options);
    at(id).value = known ? named : otherwise;
    if (named && !known) gone.push(`${named} is no longer kept; ${instead}.`);
  }
  if (!gone.length) return;
  report("versions", ...gone);
  address();
}

let opening = null;

// Whether there are versions to choose from: asked for until there are.
async function opened() {
  if (at("version").value) return true;
  opening ??= fill("versions", () => {}, () => asked("versions"), begin).finally(() => { opening = null; });
  await opening;
  return Boolean(at("version").value);
}

async function shown(...steps) {
  if (await opened()) await Promise.all(steps.map((step) => step()));
}

function changed(...steps) {
  report("versions");
  report("search");
  return shown(address, ...steps);
}

// The search: arrow keys choose.
let chosen = -1;
const options = () => [...at("products").children];

function closed() {
  superseded("search");
  at("products").hidden = true;
  at("product").setAttribute("aria-expanded", "false");
  at("product").removeAttribute("aria-activedescendant");
  chosen = -1;
}

function choose(place) {
  const all = options();
  if (!all.length) return;
  chosen = (place + all.length) % all.length;
  all.forEach((each, number) => each.setAttribute("aria-selected", String(number === chosen)));
  at("product").setAttribute("aria-activedescendant", all[chosen].id);
  all[chosen].scrollIntoView({ block: "nearest" });
}

function emptySearch() {
  closed();
  at("products").replaceChildren();
  at("status").textContent = "";
}

function search() {
  const text = at("product").value.trim();
  emptySearch();
  const asking = () => asked("products", { q: text, version: at("version").value });
  return fill("search", emptySearch, text && asking, (found) => {
    at("products").replaceChildren(...found.items.map((item, place) => {
      const option = product(item);
      option.id = `product-${place}`;
      option.setAttribute("role", "option");
      option.setAttribute("aria-selected", "false");
      option.addEventListener("mousedown", (event) => { event.preventDefault(); taken(item); });
      option.item = item;
      return option;
    }));
    at("products").hidden = !found.items.length;
    at("product").setAttribute("aria-expanded", String(found.items.length > 0));
    at("status").textContent = `${counted(found.items.length)} found.`;
  });
}

function taken(item) {
  at("product").value = item.name || item.item;
  closed();
  takenItem = item.item;
  at("status").textContent = "";
  shown(() => showWith((count) => { at("status").textContent = `${counted(count)} ${count === 1 ? "goes" : "go"} with it.`; }));
}

at("product").addEventListener("input", () => shown(search));
at("product").addEventListener("blur", closed);
at("product").addEventListener("keydown", (event) => {
  if (event.key === "Escape") return closed();
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    choose(event.key === "ArrowDown" ? chosen + 1 : chosen < 0 ? -1 : chosen - 1);
  } else if (event.key === "Enter" && options().length && !at("products").hidden) {
    event.preventDefault();
    taken(options()[Math.max(chosen, 0)].item);
  }
});
at("choice").addEventListener("submit", (event) => { event.preventDefault(); changed(showUser, showGate, showWith); });
at("version").addEventListener("change", () => changed(showUser, showGate, showWith));
at("beside").addEventListener("change", () => changed(showUser));
at("user").value = new URLSearchParams(location.search).get("user") || "";
shown(showUser, showGate);
