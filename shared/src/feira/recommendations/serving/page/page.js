// Everything that is shown is set as text, never as markup.
"use strict";

const at = (id) => document.getElementById(id);
const REASONS = { bought_before: "bought before", popular: "popular", popular_in_category: "popular in its category" };
let served = null;

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

// Of each part what was asked last alone is shown: an earlier answer, or its failure, may come later.
const newest = {};
const superseded = (part) => (newest[part] = (newest[part] || 0) + 1);

async function latest(part, asking) {
  const own = superseded(part);
  try {
    const found = await asking;
    return own === newest[part] ? found : null;
  } catch (error) {
    if (own === newest[part]) throw error;
    return null;
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

const times = (count) => (count === 1 ? "once" : `on ${count} days`);

function showLists(found, prefix) {
  for (const slot of ["again", "new"]) {
    const list = found.lists[slot];
    const source = list.segment ? `segment ${list.segment}` : list.source;
    at(`${prefix}${slot}-title`).textContent = `${slot === "again" ? "Again" : "New"}, ${found.version} (${source})`;
    listed(`${prefix}${slot}`, list.items.map((item) => product(item, reason(item, list.segment))), "no list");
  }
}

async function showUser() {
  const user = at("user").value, version = at("version").value, beside = at("beside").value;
  if (!user || !version) return;
  at("customer-title").textContent = `Customer ${user}`;
  const parts = [asked("user", { user, version })];
  if (beside) parts.push(asked("user", { user, version: beside }));
  const answers = await latest("user", Promise.all(parts));
  if (!answers) return;
  const [found, other] = answers;
  listed("bought", found.bought.map((item) => product(item, `${times(item.days)}, last ${item.last}`)), found.problem || "nothing that is known");
  showLists(found, "");
  document.documentElement.classList.toggle("beside", Boolean(other));
  if (other) showLists(other, "other-");
  at("status").textContent = `Shown: customer ${user}, ${[version, beside].filter(Boolean).join(" beside ")}.`;
}

const number = (value) => (value === null || value === undefined ? "–" : Number(value).toLocaleString("en", { maximumFractionDigits: 3 }));

async function showGate() {
  const version = at("version").value;
  if (!version) return;
  const found = await latest("gate", asked("gate", { version }));
  if (!found) return;
  at("verdict").textContent = found.verdict === null ? `${version}: not judged${found.problem ? ` (${found.problem})` : ""}` : `${version}: ${found.verdict.replaceAll("_", " ")}`;
  at("figures").replaceChildren(...found.figures.map((each) => {
    const row = document.createElement("tr");
    const interval = each.low === null || each.low === undefined ? "–" : `${number(each.low)} to ${number(each.high)}`;
    for (const text of [each.figure, each.slot, number(each.value), interval, number(each.limit || null), number(each.users)]) row.append(made("td", text));
    row.append(made("td", String(each.verdict).replaceAll("_", " "), each.verdict === "refused" ? "refused" : ""));
    return row;
  }));
}

async function shown(...steps) {
  at("problem").textContent = "";
  try {
    for (const step of steps) await step();
  } catch (error) {
    at("status").textContent = "";
    at("problem").textContent = error.message;
  }
}

function address() {
  const kept = new URLSearchParams();
  for (const id of ["user", "version", "beside"]) if (at(id).value) kept.set(id, at(id).value);
  history.replaceState(null, "", `/ui?${kept}`);
}

async function begin() {
  const found = await asked("versions");
  served = found.served;
  const given = new URLSearchParams(location.search);
  for (const [id, first] of [["version", null], ["beside", "none"]]) {
    const options = found.versions.map((each) => {
      const option = made("option", each.version + (each.served ? " (served)" : ""));
      option.value = each.version;
      return option;
    });
    if (first) {
      const none = made("option", first);
      none.value = "";
      options.unshift(none);
    }
    at(id).replaceChildren(...options);
    const known = found.versions.some((each) => each.version === given.get(id));
    at(id).value = known ? given.get(id) : first ? "" : served || (found.versions[0] || { version: "" }).version;
  }
  at("user").value = given.get("user") || "";
  if (!found.versions.length) throw new Error("No version of the lists is in Valkey yet.");
}

// The search: arrow keys choose.
let chosen = -1;
const options = () => [...at("products").children];

function closed() {
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

async function search() {
  const text = at("product").value.trim();
  superseded("search");
  if (!text || !at("version").value) return closed();
  const found = await latest("search", asked("products", { q: text, version: at("version").value }));
  if (!found) return;
  at("products").replaceChildren(...found.items.map((item, place) => {
    const option = product(item);
    option.id = `product-${place}`;
    option.setAttribute("role", "option");
    option.setAttribute("aria-selected", "false");
    option.addEventListener("mousedown", (event) => { event.preventDefault(); taken(item); });
    option.item = item;
    return option;
  }));
  chosen = -1;
  at("products").hidden = !found.items.length;
  at("product").setAttribute("aria-expanded", String(found.items.length > 0));
  at("status").textContent = `${found.items.length} product${found.items.length === 1 ? "" : "s"} found.`;
}

function taken(item) {
  superseded("search");
  at("product").value = item.name || item.item;
  closed();
  shown(async () => {
    const found = await latest("with", asked("product", { item: item.item, version: at("version").value }));
    if (!found) return;
    at("with-title").textContent = `What goes with ${found.name || found.item}`;
    listed("with", found.goes_with.map((each) => product(each, `similarity ${number(each.similarity)}`)), "nothing that is known");
    at("status").textContent = `${found.goes_with.length} products go with it.`;
  });
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
at("choice").addEventListener("submit", (event) => { event.preventDefault(); address(); shown(showUser, showGate); });
at("version").addEventListener("change", () => { address(); shown(showGate, showUser); });
at("beside").addEventListener("change", () => { address(); shown(showUser); });
shown(begin, showGate, showUser);
