/* Sweeps: the form's section that starts one, and the page that follows one. */
(() => {
  if (window.wb.SweepForm) return;
  const POLL_MS = 1500;

  /* ---- the section of a form ---- */

  class SweepForm {
    constructor(element, form) {
      this.element = element;
      this.form = form;
      element.addEventListener("input", () => this.look());
      element.addEventListener("click", (event) => event.target.closest('[data-sweep="start"]') && this.start());
    }

    parts(name) { return [...this.element.querySelectorAll(`[data-sweep="${name}"]`)]; }

    axes() {
      const values = this.parts("values");
      return this.parts("name").map((select, at) => ({ name: select.value, values: values[at].value })).filter((axis) => axis.name);
    }

    look() {
      const values = this.parts("values");
      this.parts("name").forEach((select, at) => { values[at].disabled = !select.value; });
    }

    say(sentence) {
      const [line] = this.parts("error");
      line.textContent = sentence;
      line.hidden = !sentence;
      if (sentence) {
        this.element.open = true;
        line.scrollIntoView({ block: "nearest" });
      }
    }

    async start() {
      const [press] = this.parts("start");
      press.disabled = true;
      this.say("");
      const seeds = this.parts("seeds")[0].value;
      await window.wb.ask("act", { do: "sweep", ...this.form.request(), axes: this.axes(), seeds });
      press.disabled = false;
    }
  }

  /* ---- the page of a sweep, inside the Library ---- */

  class SweepPage {
    constructor(stage, ask) {
      this.stage = stage;
      this.ask = ask;
      this.id = null;
      stage.addEventListener("click", (event) => this.clicked(event));
      stage.addEventListener("change", (event) => event.target.dataset.sweep === "quantity" && this.load(event.target.value));
      setInterval(() => this.running && this.stage.offsetParent !== null && !document.hidden && this.load(), POLL_MS);
    }

    show(id) {
      if (this.id === id) return this.load();
      this.id = id;
      this.quantity = "";
      this.running = false;
      this.stage.innerHTML = '<div class="wb-empty">Reading the sweep.</div>';
      this.drawn = new Map();
      return this.load();
    }

    leave() {
      this.id = null;
      this.running = false;
    }

    async load(quantity = this.quantity) {
      const mine = this.id;
      this.quantity = quantity;
      const answer = await this.ask(`sweep?${new URLSearchParams({ id: mine, quantity })}`);
      if (mine !== this.id || quantity !== this.quantity) return;
      if (answer.error) {
        this.running = false;
        this.stage.innerHTML = '<div class="wb-empty"><p></p><a class="wb-quiet" data-wb href="?view=library">Back to all runs</a></div>';
        this.stage.querySelector("p").textContent = answer.error;
        return;
      }
      this.running = answer.running;
      if (!this.stage.querySelector(".wb-sweep-head"))
        this.stage.innerHTML = '<div class="wb-sweep-head"></div><p class="wb-lib-notice" role="status" hidden></p><div class="wb-figures"></div><div class="wb-sweep-grid"></div>';
      this.put(".wb-sweep-head", answer.head);
      this.put(".wb-sweep-grid", answer.grid);
      this.draw(answer.figures);
    }

    /* New HTML only where it differs, and not under an open list: a select that is replaced would close. */
    put(where, html) {
      const node = this.stage.querySelector(where);
      if (node.dataset.html === html || node.contains(document.activeElement) && document.activeElement.matches("select")) return;
      const held = node.contains(document.activeElement) ? document.activeElement.dataset.sweepDo : "";
      node.innerHTML = html;
      node.dataset.html = html;
      if (held) node.querySelector(`[data-sweep-do="${held}"]`)?.focus();
    }

    /* Frames stay as long as their figure does, so that zoom and hidden lines survive the next look. */
    draw(figures) {
      const place = this.stage.querySelector(".wb-figures");
      for (const frame of [...place.children]) if (!(frame.dataset.figureKey in figures)) frame.remove();
      for (const [key, figure] of Object.entries(figures)) {
        let frame = [...place.children].find((node) => node.dataset.figureKey === key);
        if (!frame) {
          frame = document.createElement("div");
          frame.className = "wb-frame pf";
          frame.dataset.figureKey = key;
          place.append(frame);
        }
        const text = JSON.stringify(figure);
        if (frame.drawn === text) continue;
        frame.drawn = text;
        window.PaperFigures.draw(frame, figure);
      }
    }

    async clicked(event) {
      const button = event.target.closest("[data-sweep-do]");
      if (!button) return;
      button.disabled = true;
      const answer = await this.ask(button.dataset.sweepDo, { ids: [this.id] });
      const notice = this.stage.querySelector(".wb-lib-notice");
      notice.textContent = answer.error || "";
      notice.dataset.tone = answer.error ? "bad" : "";
      notice.hidden = !answer.error;
      button.disabled = false;
      await this.load();
    }
  }

  Object.assign(window.wb, { SweepForm, SweepPage });
})();
