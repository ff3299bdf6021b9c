// What the tables of a page can do when there is a script: sort by any column, search. Without it they are plain tables.

// An empty cell stands last whichever way the column is sorted.
const emptyLast = (compare, sign) => (a, b) =>
  a === b ? 0 : a === "" ? 1 : b === "" ? -1 : sign * compare(a, b);
const words = new Intl.Collator("en", { numeric: true });
const kinds = { number: (a, b) => a - b, words: (a, b) => words.compare(a, b) };
for (const [kind, compare] of Object.entries(kinds)) {
  DataTable.ext.type.order[`${kind}-asc`] = emptyLast(compare, 1);
  DataTable.ext.type.order[`${kind}-desc`] = emptyLast(compare, -1);
}

// The seeds of a group come out of the table below and into the board, each under its group: they move with its row when the board
// is sorted, and go with it when it is searched. Gives the rows of all seeds.
const expandable = (element, table) => {
  const below = document.querySelector(`[data-seeds-of="${element.id}"]`);
  if (below === null) return [];
  const all = [...below.querySelectorAll("tr.seed")];
  for (const button of element.querySelectorAll(".expand")) {
    const row = table.row(button.closest("tr"));
    const seeds = button.getAttribute("aria-controls").split(" ").map((id) => all.find((seed) => seed.id === id));
    row.child(seeds);
    button.hidden = false;
    button.previousElementSibling.hidden = true;
    button.addEventListener("click", () => {
      const open = button.getAttribute("aria-expanded") !== "true";
      button.setAttribute("aria-expanded", open);
      if (open) row.child.show();
      else row.child.hide();
    });
  }
  below.hidden = true;
  return all;
};

const prepare = (element) => {
  const heads = [...element.tHead.querySelectorAll("[data-place]")].sort((a, b) => a.dataset.place - b.dataset.place);
  const byRank = "ordered" in element.dataset ? [[0, "asc"]] : [];
  const table = new DataTable(element, {
    paging: false,
    info: false,
    autoWidth: false,
    layout: { topStart: null, topEnd: null, bottomStart: null, bottomEnd: null },
    order: byRank,
    orderFixed: { post: byRank }, // rows that are level in a column stand by rank
    columns: heads.map((head) => ({
      type: head.dataset.as,
      searchable: head.dataset.as !== "number",
      orderSequence: head.dataset.first === "desc" ? ["desc", "asc", ""] : ["asc", "desc", ""],
    })),
    language: { zeroRecords: "Nothing matches." },
  });

  const seeds = expandable(element, table);
  const tools = document.querySelector(`[data-tools-of="${element.id}"]`);
  if (tools === null) return;
  const field = tools.querySelector("input[type=search]");
  const found = tools.querySelector("[role=status]");
  const filters = [...tools.querySelectorAll("[data-filter]")];
  table.search.fixed("filters", (_, __, index) => {
    const { dataset } = table.row(index).node();
    return filters.every(({ value, dataset: { filter } }) => value === "" || dataset[filter] === value);
  });
  const search = () => {
    // the cells to be searched hold none of these either
    table.search(field.value.replace(/[&<>]/g, " ")).draw();
    const { recordsDisplay, recordsTotal } = table.page.info();
    const all = field.value.trim() === "" && filters.every(({ value }) => value === "");
    found.textContent = all ? "" : `${recordsDisplay} of ${recordsTotal} ${found.dataset.what}`;
  };
  field.addEventListener("input", search);
  for (const filter of filters) filter.addEventListener("change", search);
  for (const box of tools.querySelectorAll("[data-column]"))
    box.addEventListener("change", () => {
      const place = Number(box.dataset.column);
      table.column(place).visible(box.checked);
      for (const seed of seeds) seed.cells[place].hidden = !box.checked;
    });
  for (const part of tools.querySelectorAll("[data-scripted]")) part.hidden = false;
  if (field.value !== "") search(); // a browser may bring it back with the page

  const rows = [...table.rows().nodes().toArray(), ...seeds];
  const picks = rows.flatMap((row) => [...row.querySelectorAll(".pick")]);
  const compare = tools.querySelector("[data-compare-link]");
  const pick = () => {
    const names = picks.filter((box) => box.checked).map((box) => ["entrant", box.value]);
    compare.textContent = names.length ? `Compare ${names.length} chosen` : "Compare";
    compare.hash = new URLSearchParams(names).toString();
  };
  element.classList.toggle("picking", compare !== null);
  for (const box of compare === null ? [] : picks) {
    box.hidden = false;
    box.addEventListener("change", pick);
  }

  const dialog = document.getElementById("bibtex");
  for (const button of rows.flatMap((row) => [...row.querySelectorAll(".cite")])) {
    button.hidden = false;
    button.addEventListener("click", () => {
      dialog.querySelector("code").textContent = button.dataset.bibtex;
      dialog.querySelector("[role=status]").textContent = "";
      dialog.showModal();
    });
  }
  dialog?.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  dialog?.querySelector("[data-copy]").addEventListener("click", async () => {
    const code = dialog.querySelector("code");
    getSelection().selectAllChildren(code); // where copying is refused, the text is ready for the reader's own keys
    const copied = await navigator.clipboard?.writeText(code.textContent).then(() => true, () => false);
    dialog.querySelector("[role=status]").textContent = copied ? "Copied." : "Selected: copy it with the keyboard.";
  });
};

// the board at once, the tables below it when the reader comes near them
const near = new IntersectionObserver((changes) => {
  for (const { isIntersecting, target } of changes) {
    if (!isIntersecting) continue;
    near.unobserve(target);
    prepare(target);
  }
}, { rootMargin: "500px" });
for (const element of document.querySelectorAll("table.sortable")) {
  if (element.id === "board") prepare(element);
  else near.observe(element);
}
