/* A form reads and fills its native controls; what is allowed is said by the server alone. */
(() => {
  if (window.wb.Form) return;

  class Form {
    constructor(element, bench) {
      this.element = element;
      this.bench = bench;
      this.setup = JSON.parse(element.dataset.setup);
      this.parent = null;
      this.touched = new Set();
      element.removeAttribute("data-setup");
      element.addEventListener("submit", (event) => {
        event.preventDefault();
        bench.start();
      });
      element.addEventListener("click", (event) => this.pressed(event));
      element.addEventListener("input", (event) => this.typed(event));
      element.addEventListener("change", (event) => this.changed(event));
      element.addEventListener("keydown", (event) => this.stepped(event));
      for (const box of element.querySelectorAll(".wb-file")) this.mountFile(box);
      for (const lists of element.querySelectorAll(".wb-phrases")) new window.wb.Phrases(lists, lists.closest("[data-field]").querySelector("input"));
      this.sweep = new window.wb.SweepForm(element.querySelector(".wb-sweep"), this);
      this.fill(this.setup.presets[this.preset()] || {});
    }

    field(name) {
      return this.element.querySelector(`[data-field="${CSS.escape(name)}"]`);
    }

    preset() {
      const chosen = this.element.querySelector(`input[name="preset-${this.setup.engine}"]:checked`);
      return chosen ? chosen.value : "default";
    }

    get seedBox() {
      return this.element.querySelector('input[name="seed"]');
    }

    get isLocked() {
      return this.element.querySelector('[data-do="lock"]').getAttribute("aria-pressed") === "true";
    }

    /* ---- values ---- */

    value(name) {
      const field = this.field(name);
      const kind = this.setup.fields[name].kind;
      if (!field) return undefined;
      if (kind === "checks") return [...field.querySelectorAll("input:checked")].map((box) => box.value);
      if (kind === "segments") return (field.querySelector("input:checked") || { value: "" }).value;
      if (kind === "switch") return field.querySelector("input").checked;
      return field.querySelector(`[name="${CSS.escape(name)}"]`).value;
    }

    values() {
      const found = {};
      for (const name of Object.keys(this.setup.fields)) {
        const value = this.value(name);
        if (value !== undefined) found[name] = value;
        else if (this.hidden && name in this.hidden) found[name] = this.hidden[name];
      }
      return found;
    }

    set(name, value) {
      const field = this.field(name);
      const known = this.setup.fields[name];
      if (!known) return;
      if (!field) {
        this.hidden = { ...this.hidden, [name]: value };
        return;
      }
      if (known.kind === "checks") {
        const wanted = new Set((value || []).map(String));
        for (const box of field.querySelectorAll("input")) box.checked = wanted.has(box.value);
      } else if (known.kind === "segments") {
        for (const box of field.querySelectorAll("input")) box.checked = box.value === String(value);
      } else if (known.kind === "switch") field.querySelector("input").checked = Boolean(value);
      else {
        field.querySelector(`[name="${CSS.escape(name)}"]`).value = text(value);
        if (known.kind === "slider") this.slide(name);
        if (known.kind === "file") this.nameFile(field);
      }
    }

    fill(values) {
      for (const [name, value] of Object.entries(values)) this.set(name, value);
      this.mark();
    }

    /* From a stored run: everything as it was. */
    load(message) {
      const box = this.element.querySelector(`input[name="preset-${this.setup.engine}"][value="${CSS.escape(message.preset || "default")}"]`);
      if (box) box.checked = true;
      this.fill({ ...(this.setup.presets[this.preset()] || {}), ...message.values });
      if (message.seed !== null && message.seed !== undefined) this.seedBox.value = message.seed;
      this.parent = message.parent || null;
      this.clearErrors();
      this.mark();
    }

    /* A cell of a map was chosen: its coordinates go into the fields that the map names ("alpha,kappa"). */
    point({ name, x, y }) {
      const names = name.split(",");
      [x, y].forEach((value, at) => {
        if (names[at] in this.setup.fields) this.set(names[at], Number(Number(value).toPrecision(6)));
      });
      this.mark();
      this.touched = new Set([...this.touched, ...names]);
      this.check();
    }

    /* A dot beside each field that differs from the preset, and the number of those under Advanced. */
    mark() {
      const base = this.setup.presets[this.preset()] || {};
      let advanced = 0;
      let any = false;
      for (const name of Object.keys(this.setup.fields)) {
        const field = this.field(name);
        if (!field) continue;
        const differs = !same(this.value(name), base[name]);
        const dot = field.querySelector(".wb-dot");
        dot.hidden = !differs;
        if (differs) {
          const words = `Edited. Back to ${text(base[name]) || "empty"}`;
          dot.title = words;
          dot.setAttribute("aria-label", words);
          any = true;
          if (field.closest(".wb-advanced")) advanced += 1;
        }
      }
      this.element.querySelector('[data-do="reset"]').hidden = !any;
      const count = this.element.querySelector("[data-count]");
      if (count) {
        count.dataset.all = count.dataset.all || count.textContent;
        count.textContent = advanced ? `${advanced} edited` : count.dataset.all;
      }
      for (const help of this.element.querySelectorAll(".wb-presets [data-preset]"))
        help.hidden = help.dataset.preset !== this.preset();
    }

    /* ---- sliders: the box holds the value, the slider follows it ---- */

    slide(name) {
      const { low, high, log } = this.setup.fields[name];
      const range = this.element.querySelector(`[data-range="${CSS.escape(name)}"]`);
      const value = Number(this.field(name).querySelector(".wb-number").value);
      if (!range || !Number.isFinite(value)) return;
      const floor = log ? Math.max(low, high * 1e-12) : low;
      const share = log ? Math.log(Math.max(value, floor) / floor) / Math.log(high / floor) : (value - low) / (high - low);
      range.value = Math.round(1000 * Math.min(1, Math.max(0, share)));
      range.style.setProperty("--at", `${range.value / 10}%`);
    }

    fromSlide(range) {
      const name = range.dataset.range;
      const { low, high, step, log, whole } = this.setup.fields[name];
      const share = Number(range.value) / 1000;
      const floor = log ? Math.max(low, high * 1e-12) : low;
      let value = log ? floor * (high / floor) ** share : low + share * (high - low);
      if (log) value = Number(value.toPrecision(2));
      if (step && !(log && !whole)) value = low + Math.round((value - low) / step) * step;
      if (whole) value = Math.round(value);
      value = Math.min(high, Math.max(low, Number(value.toPrecision(10))));
      this.field(name).querySelector(".wb-number").value = text(value);
      range.style.setProperty("--at", `${range.value / 10}%`);
    }

    /* Arrow keys step a number within its bounds. */
    stepped(event) {
      const up = { ArrowUp: 1, ArrowDown: -1 }[event.key];
      if (!up || !event.target.matches(".wb-number") || event.target.name === "seed") return;
      const name = event.target.name;
      const { low, high, step, log, whole } = this.setup.fields[name];
      const value = Number(event.target.value);
      if (!Number.isFinite(value)) return;
      event.preventDefault();
      let wanted = log && !whole ? value * (up > 0 ? 2 : 0.5) : value + up * (step || 1) * (event.shiftKey ? 10 : 1);
      if (low !== undefined) wanted = Math.max(low, wanted);
      if (high !== undefined) wanted = Math.min(high, wanted);
      event.target.value = text(Number(wanted.toPrecision(10)));
      this.slide(name);
      this.mark();
    }

    /* ---- what the reader does ---- */

    pressed(event) {
      const press = event.target.closest("[data-do]");
      if (!press) return;
      const act = {
        stop: () => this.bench.stop(),
        dice: () => this.roll(),
        lock: () => this.lock(press),
        command: () => this.command(press),
        copy: () => this.copy(press),
        reset: () => this.fill(this.setup.presets[this.preset()] || {}),
        "reset-field": () => this.resetField(press.closest("[data-field]").dataset.field),
        drawer: () => this.drawer(true),
        "drawer-close": () => this.drawer(false),
        "clear-file": () => this.clearFile(press.closest("[data-field]")),
      }[press.dataset.do];
      if (act) act();
    }

    typed(event) {
      if (event.target.matches('input[type="range"]')) this.fromSlide(event.target);
      else if (event.target.matches(".wb-slide .wb-number")) this.slide(event.target.name);
      if (!event.target.matches(`input[name="preset-${this.setup.engine}"]`)) this.mark();
    }

    changed(event) {
      if (event.target.matches(`input[name="preset-${this.setup.engine}"]`)) {
        this.clearErrors();
        this.fill(this.setup.presets[this.preset()] || {});
      } else if (!event.target.matches(".wb-file-input")) {
        const field = event.target.closest("[data-field]");
        if (field) this.touched.add(field.dataset.field);
        this.check();
      }
      if (!this.element.querySelector("[data-command]").hidden) this.refreshCommand();
    }

    /* What was touched is checked at once, by the same rules as Run. */
    async check() {
      const reply = await window.wb.ask("act", { do: "check", ...this.request() });
      const said = (reply.do || []).find((message) => message.kind === "checked");
      if (said) this.errors(said.errors, true);
    }

    request() {
      return { engine: this.setup.engine, preset: this.preset(), values: this.values(), seed: this.seedBox.value, parent: this.parent };
    }

    roll() {
      this.seedBox.value = crypto.getRandomValues(new Uint32Array(1))[0] % 1000000;
      this.clearError("seed");
    }

    lock(press) {
      const locked = press.getAttribute("aria-pressed") !== "true";
      press.setAttribute("aria-pressed", String(locked));
      press.title = locked ? "Seed is kept for the next run" : "A new seed is rolled for each run";
    }

    resetField(name) {
      this.set(name, (this.setup.presets[this.preset()] || {})[name]);
      this.clearError(name);
      this.mark();
    }

    drawer(open) {
      this.element.toggleAttribute("data-open", open);
      const opener = this.element.querySelector('[data-do="drawer"]');
      if (open) this.element.querySelector('[data-do="drawer-close"]').focus();
      else if (opener.offsetParent) opener.focus();
    }

    /* ---- errors stand under their field ---- */

    errors(errors, onlyTouched = false) {
      for (const node of this.element.querySelectorAll("[data-field]")) {
        const name = node.dataset.field;
        const sentence = onlyTouched && !this.touched.has(name) ? undefined : errors[name];
        sentence ? this.setError(name, sentence) : this.clearError(name);
      }
      const rest = this.element.querySelector(".wb-form-error");
      rest.hidden = !errors[""] || onlyTouched;
      rest.textContent = errors[""] || "";
      if (onlyTouched) return;
      for (const name of Object.keys(errors)) this.touched.add(name);
      const first = this.element.querySelector("[data-invalid]");
      if (!first) return;
      const group = first.closest(".wb-advanced");
      if (group) group.open = true;
      if (getComputedStyle(this.element.querySelector(".wb-fields")).display === "none") this.drawer(true);
      const control = first.querySelector("input:not([type=range]):not([type=hidden]), select, textarea");
      first.scrollIntoView({ block: "nearest" });
      if (control) control.focus({ preventScroll: true });
    }

    setError(name, sentence) {
      const node = this.field(name);
      node.dataset.invalid = "";
      const line = node.querySelector(".wb-error");
      if (line.textContent !== sentence) line.textContent = sentence;
      line.hidden = false;
      for (const control of this.controls(node)) control.setAttribute("aria-invalid", "true");
    }

    clearError(name) {
      const node = this.field(name);
      if (!node || node.dataset.invalid === undefined) return;
      delete node.dataset.invalid;
      const line = node.querySelector(".wb-error");
      line.hidden = true;
      line.textContent = "";
      for (const control of this.controls(node)) control.removeAttribute("aria-invalid");
    }

    controls(node) {
      if (node.matches("fieldset")) return [node];
      return node.querySelectorAll("input:not([type=range]):not([type=hidden]), select, textarea");
    }

    clearErrors() {
      this.touched.clear();
      this.errors({}, true);
      this.element.querySelector(".wb-form-error").hidden = true;
    }

    /* ---- uploads: the bytes go straight into the artifacts, the form keeps the reference ---- */

    mountFile(box) {
      const input = box.querySelector(".wb-file-input");
      input.addEventListener("change", () => input.files[0] && this.upload(box, input.files[0]));
      for (const name of ["dragenter", "dragover"]) box.addEventListener(name, () => box.toggleAttribute("data-over", true));
      for (const name of ["dragleave", "drop"]) box.addEventListener(name, () => box.toggleAttribute("data-over", false));
    }

    async upload(box, file) {
      const field = box.closest("[data-field]");
      const shown = box.querySelector("[data-file-name]");
      shown.textContent = `Reading ${file.name}`;
      let answer;
      try {
        const sent = await fetch(`wb/upload?name=${encodeURIComponent(file.name)}`, { method: "POST", headers: { "X-Workbench": "1" }, body: file });
        answer = await sent.json();
      } catch (failed) {
        answer = { error: `${file.name} could not be sent: ${failed.message}.` };
      }
      if (answer.ref) {
        this.set(field.dataset.field, answer.ref);
        this.clearError(field.dataset.field);
        this.mark();
      } else {
        this.clearFile(field);
        this.setError(field.dataset.field, answer.error);
      }
      box.querySelector(".wb-file-input").value = "";
    }

    nameFile(field) {
      const reference = field.querySelector('input[type="hidden"]').value;
      const shown = field.querySelector("[data-file-name]");
      shown.textContent = reference ? reference.slice(reference.indexOf("/") + 1) : "Drop a file here or browse";
      field.querySelector('[data-do="clear-file"]').hidden = !reference;
    }

    clearFile(field) {
      this.set(field.dataset.field, "");
      this.mark();
    }

    /* ---- show me the command ---- */

    async command(press) {
      const place = this.element.querySelector("[data-command]");
      const open = place.hidden;
      press.setAttribute("aria-expanded", String(open));
      press.textContent = open ? "Hide the command" : "Show me the command";
      place.hidden = !open;
      if (open) await this.refreshCommand();
    }

    async refreshCommand() {
      const reply = await window.wb.ask("act", { do: "command", ...this.request() });
      const said = (reply.do || []).find((message) => message.kind === "command");
      if (said) this.element.querySelector("[data-command]").innerHTML = said.html;
    }

    async copy(press) {
      const code = press.closest(".wb-code").querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        press.textContent = "Copied";
      } catch (refused) {
        getSelection().selectAllChildren(code);
        press.textContent = "Selected";
      }
      setTimeout(() => (press.textContent = "Copy"), 1500);
    }
  }

  function text(value) {
    if (value === null || value === undefined) return "";
    if (Array.isArray(value)) return value.map(text).join(", ");
    if (typeof value === "boolean") return value ? "on" : "off";
    return String(value).replace("e+0", "e").replace("e+", "e");
  }

  function same(shown, base) {
    if (typeof shown === "boolean") return shown === Boolean(base);
    if (Array.isArray(shown)) return [...shown].sort().join("\n") === [...(base || [])].map(String).sort().join("\n");
    const left = String(shown).trim();
    const right = text(base);
    return left === right || (left !== "" && right !== "" && Number(left) === Number(right));
  }

  window.wb.Form = Form;
})();
