/* Lists under a text box that make a text it understands: the kind of sentence, then a word for each slot. */
"use strict";

(() => {
  const SLOT = /\{([^}]+)\}/g;

  class Phrases {
    constructor(element, input) {
      this.input = input;
      this.words = JSON.parse(element.dataset.words);
      this.kind = element.querySelector("[data-template]");
      this.place = element.querySelector(".wb-phrase");
      element.addEventListener("toggle", () => element.open && this.read());
      this.kind.addEventListener("change", () => { this.draw([]); this.write(); });
      this.place.addEventListener("change", () => { this.draw(this.chosen()); this.write(); });
    }

    slots(template) {
      return [...template.matchAll(SLOT)].map((match) => match[1]);
    }

    choices(slot) {
      return this.words[slot.replace(/^other /, "")] || [];
    }

    chosen() {
      return [...this.place.querySelectorAll("select")].map((select) => select.value);
    }

    /* The text in the box, where a template can say it; else the first template. */
    read() {
      const text = this.input.value.trim().toLowerCase().replace(/\s+/g, " ");
      for (const option of this.kind.options) {
        const pattern = option.value.replace(SLOT, (_, slot) => `(${this.choices(slot).join("|")})`);
        const found = text.match(new RegExp(`^${pattern}$`));
        if (!found) continue;
        this.kind.value = option.value;
        return this.draw(found.slice(1));
      }
      return this.draw([]);
    }

    /* A list for each slot. "other colour" leaves out what was taken for colour. */
    draw(values) {
      const taken = {};
      this.place.replaceChildren(...this.slots(this.kind.value).map((slot, k) => {
        const other = slot.startsWith("other ");
        const words = this.choices(slot).filter((word) => !other || word !== taken[slot.slice(6)]);
        const select = document.createElement("select");
        select.className = "wb-input";
        select.setAttribute("aria-label", slot);
        select.append(...words.map((word) => new Option(word, word)));
        select.value = words.includes(values[k]) ? values[k] : words[0];
        taken[slot] = select.value;
        return select;
      }));
    }

    write() {
      const values = this.chosen();
      this.input.value = this.kind.value.replace(SLOT, () => values.shift());
      this.input.dispatchEvent(new Event("input", { bubbles: true }));
    }
  }

  window.wb.Phrases = Phrases;
})();
