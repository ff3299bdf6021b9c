// Sets chosen entrants side by side. The choice stands in the address, so that a comparison can be kept and sent.

const { lines, entrants, middles, charts } = JSON.parse(document.getElementById("comparison").textContent);
const byName = new Map(entrants.map((entrant) => [entrant.name, entrant]));
const chooser = document.getElementById("add");
const list = document.getElementById("chosen");
const table = document.getElementById("compared");
const results = document.getElementById("results");
const told = document.getElementById("told");

const chosen = () =>
  new URLSearchParams(location.hash.slice(1)).getAll("entrant").filter((name, i, all) => byName.has(name) && all.indexOf(name) === i);
const choose = (names) => {
  location.hash = new URLSearchParams(names.map((name) => ["entrant", name])).toString();
};
// text only: what comes from a card is never markup
const make = (tag, text = "", attributes = {}) => {
  const element = document.createElement(tag);
  element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};

const fillTable = (shown) => {
  const head = make("tr");
  head.append(make("th", "Number", { scope: "col" }));
  for (const { name, page } of shown) {
    const cell = make("th", "", { scope: "col" });
    const word = page ? make("a", name, { href: page }) : make("bdi", name);
    cell.append(word);
    head.append(cell);
  }
  table.tHead.replaceChildren(head);
  table.tBodies[0].replaceChildren(
    ...lines.flatMap(({ heading, group, says, words }, place) => {
      if (shown.every(({ cells }) => cells[place][0] === "")) return [];
      const row = make("tr");
      row.append(make("th", group ? `${group.replace(", %", "")}: ${heading}` : heading, { scope: "row", title: says }));
      for (const { cells } of shown) {
        const cell = make("td", "", words ? {} : { class: "number" });
        const [text, interval] = cells[place];
        cell.append(make("bdi", text || "—", { class: "value" }));
        if (interval) cell.append(" ", make("span", interval, { class: "ends" }));
        row.append(cell);
      }
      return [row];
    }),
  );
};

const apart = (places, gap, low, high) => {
  const order = places.map((_, i) => i).sort((a, b) => places[a] - places[b]);
  const moved = [];
  let floor = low;
  for (const i of order) floor = (moved[i] = Math.max(places[i], floor)) + gap;
  let ceiling = high;
  for (const i of order.reverse()) ceiling = (moved[i] = Math.min(moved[i], ceiling)) - gap;
  return moved;
};

const rowsOf = {
  accuracies: (shown) =>
    shown.flatMap(({ name, accuracies }, row) => accuracies.map((one, i) => ({ ...one, name, row, first: i === 0 }))),
  stages: (shown) => {
    const whole = shown.filter(({ stages }) => stages.length);
    const names = charts.stages.layer[0].encoding.x.sort;
    const places = apart(whole.map(({ stages }) => stages.at(-1)), 4.5, 0, 100);
    return whole.flatMap(({ name, stages }, i) =>
      stages.map((y, stage) => ({ name, stage: names[stage], y, ...(stage === stages.length - 1 ? { ly: places[i] } : {}) })),
    );
  },
  ridges: (shown) =>
    shown.filter(({ ridge }) => ridge.length)
      .flatMap(({ name, ridge }, row) => ridge.map((d, i) => ({ name, row, d, x: middles[i], first: i === 0 }))),
};

const heights = { accuracies: (n) => 44 * n + 40, stages: () => 340, ridges: (n) => 44 * n + 50 };

const show = () => {
  const names = chosen();
  const shown = names.map((name) => byName.get(name));
  list.replaceChildren(
    ...names.map((name) => {
      const item = make("li");
      const button = make("button", "Remove", { type: "button", "aria-label": `Remove ${name}` });
      button.addEventListener("click", () => choose(names.filter((other) => other !== name)));
      item.append(make("bdi", name), " ", button);
      return item;
    }),
  );
  for (const option of chooser.options) option.disabled = names.includes(option.value);
  chooser.value = "";
  told.textContent = shown.length === 0 ? "Nothing is chosen yet." : `${shown.length} chosen.`;
  results.hidden = shown.length === 0;
  if (shown.length === 0) return;
  fillTable(shown);
  for (const [key, spec] of Object.entries(charts)) {
    const place = document.querySelector(`[data-compare="${key}"]`);
    const rows = rowsOf[key](shown);
    place.closest("figure").hidden = rows.length === 0;
    const count = new Set(rows.map((row) => row.name)).size;
    if (rows.length) window.drawChart(place, { ...spec, height: heights[key](count) }, rows);
  }
};

chooser.addEventListener("change", () => {
  if (chooser.value) choose([...chosen(), chooser.value]);
});
window.addEventListener("hashchange", show);
document.getElementById("choice").hidden = false;
show();
