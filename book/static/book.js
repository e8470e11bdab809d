/* What pages can do in a browser. Without it they are read as well. */

/* A picture opens whole: click it, or press Enter on it. Esc, the cross or a click beside it closes it. */
function enlargeable() {
  const dialog = document.createElement("dialog");
  dialog.className = "enlarged";
  dialog.innerHTML = '<button type="button" class="close" aria-label="Close">×</button><div tabindex="0"></div>';
  document.body.append(dialog);
  const [close, place] = dialog.children;
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", event => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => place.replaceChildren());

  for (const picture of document.querySelectorAll("article img, article .diagram svg, article .cell_output svg")) {
    if (picture.closest("a, button, mjx-container")) continue;
    const said = picture.alt || picture.closest("[aria-label]")?.ariaLabel || "this picture";
    const button = document.createElement("button");
    button.type = "button";
    button.className = "enlarge";
    button.setAttribute("aria-label", `Enlarge: ${said}`);
    button.title = "Enlarge";
    picture.replaceWith(button);
    button.append(picture);
    button.addEventListener("click", () => {
      const whole = picture.cloneNode(true);
      whole.style.width = `${Math.max(picture.naturalWidth ?? picture.viewBox.baseVal.width, 900)}px`;
      place.replaceChildren(whole);
      dialog.setAttribute("aria-label", said);
      dialog.showModal();
      place.focus();
    });
  }
}

/* The code of a notebook is folded, cell by cell; one button opens or folds all of it. */
function foldable() {
  for (const button of document.querySelectorAll("button.all-code")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const open = button.getAttribute("aria-expanded") !== "true";
      button.setAttribute("aria-expanded", open);
      button.textContent = open ? "Hide all code" : "Show all code";
      document.querySelectorAll("details.hide").forEach(cell => { cell.open = open; });
    });
  }
}

document.addEventListener("DOMContentLoaded", () => { enlargeable(); foldable(); });
