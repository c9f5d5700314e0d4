// Comfort only: how many are chosen, all of a page at once, and a row of them with Shift. All else works without.
"use strict";

for (const form of document.querySelectorAll(".chosen-from")) {
  const boxes = [...form.querySelectorAll(".card input[type=checkbox]")];
  const told = form.querySelector("output");
  const all = form.querySelector("button.all");
  let last = null;

  const tell = () => {
    const number = boxes.filter((box) => box.checked).length;
    if (told) told.textContent = number ? `${number} chosen` : "";
  };

  for (const box of boxes) {
    box.addEventListener("click", (event) => {
      if (event.shiftKey && last) {
        const [from, to] = [boxes.indexOf(last), boxes.indexOf(box)].sort((one, other) => one - other);
        for (const between of boxes.slice(from, to + 1)) between.checked = box.checked;
      }
      last = box;
      tell();
    });
  }
  if (all) {
    all.hidden = false;
    all.addEventListener("click", () => {
      const chosen = boxes.some((box) => !box.checked);
      for (const box of boxes) box.checked = chosen;
      tell();
    });
  }
  addEventListener("pageshow", tell); // going back brings the choice back
}
