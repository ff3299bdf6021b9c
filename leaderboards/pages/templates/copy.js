// One click copies the lines beside a button. Without a script there is no button, and the lines can be selected as any text.
for (const button of document.querySelectorAll("button[data-copies]")) {
  const code = document.getElementById(button.dataset.copies);
  const told = button.nextElementSibling;
  button.hidden = false;
  button.addEventListener("click", async () => {
    getSelection().selectAllChildren(code); // where copying is refused, the text is ready for the reader's own keys
    const copied = await navigator.clipboard?.writeText(code.textContent).then(() => true, () => false);
    told.textContent = copied ? "Copied." : "Selected: copy it with the keyboard.";
  });
}
