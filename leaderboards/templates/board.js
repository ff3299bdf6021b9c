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

for (const element of document.querySelectorAll("table.sortable")) {
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
      orderSequence: head.dataset.first === "desc" ? ["desc", "asc", ""] : ["asc", "desc", ""],
    })),
    language: { zeroRecords: "Nothing matches." },
  });

  const tools = document.querySelector(`[data-tools-of="${element.id}"]`);
  if (tools === null) continue;
  const field = tools.querySelector("input");
  const found = tools.querySelector("[role=status]");
  const search = () => {
    // the cells to be searched hold none of these either
    table.search(field.value.replace(/[&<>]/g, " ")).draw();
    const { recordsDisplay, recordsTotal } = table.page.info();
    found.textContent = field.value.trim() === "" ? "" : `${recordsDisplay} of ${recordsTotal} ${found.dataset.what}`;
  };
  field.addEventListener("input", search);
  tools.hidden = false;
  if (field.value !== "") search(); // a browser may bring it back with the page
}
