/* A bench is an engine's form and its stage. The stage follows one run: it takes patches (what is newer than the
   version it has) and changes only what they name. */
(() => {
  if (window.wb.Bench) return;
  class Bench {
    constructor(element) {
      this.element = element;
      this.engine = element.dataset.engine;
      this.stage = element.querySelector(".wb-stage");
      this.pictures = new window.wb.Pictures(this.part("pictures"));
      this.form = new window.wb.Form(element.querySelector(".wb-form"), this);
      this.holds = [...this.frames()].map((frame) => ({ key: frame.dataset.figure, html: frame.outerHTML }));
      this.idle = this.part("status").querySelector(".wb-facts").innerHTML.replace(/^<span>|<\/span>$/g, "");
      this.claimsHold = this.part("claims").innerHTML;
      this.clear();
      this.stage.addEventListener("click", (event) => this.pressed(event));
      this.stage.addEventListener("submit", (event) => this.inquire(event));
      this.stage.addEventListener("pf:click", (event) => this.form.point(event.detail));
      window.wb.takePictures(element, this.engine);
      for (const name of ["scroll", "resize"]) addEventListener(name, () => this.fit(), { passive: true });
      this.fit();
      window.wb.register(this);
    }

    /* The form takes the room that the window has below its top, so that Run is always in sight. */
    fit() {
      const form = this.form.element;
      if (form.offsetParent === null) return;
      const top = Math.max(12, form.parentElement.getBoundingClientRect().top);
      form.style.setProperty("--room", `${Math.max(260, innerHeight - top - 12)}px`);
    }

    part(name) {
      return this.element.querySelector(`[data-part="${name}"]`);
    }

    frames() {
      return this.element.querySelectorAll("[data-figure]");
    }

    address() {
      return this.run ? `?run=${this.run}` : `?engine=${this.engine}`;
    }

    /* ---- what the reader asks ---- */

    async start() {
      if (this.starting) return;
      this.starting = true;
      const press = this.element.querySelector('[data-do="run"]');
      press.disabled = true;
      if (!this.form.isLocked) this.form.roll();
      this.form.drawer(false);
      const reply = await window.wb.ask("act", { do: "run", ...this.form.request() });
      press.disabled = false;
      this.starting = false;
      const live = (reply.do || []).find((message) => message.kind === "live");
      if (!live) return;
      if (window.wb.current() === this) window.wb.show(this.address(), "push");
      if (matchMedia("(max-width: 720px)").matches) this.stage.scrollIntoView({ block: "start" });
    }

    stop() {
      if (!this.run || this.over) return;
      this.status({ word: "Stopping" });
      window.wb.ask("act", { do: "stop", engine: this.engine, run: this.run, since: this.version });
    }

    closeDrawer() {
      const open = this.form.element.hasAttribute("data-open");
      if (open) this.form.drawer(false);
      return open;
    }

    pressed(event) {
      const press = event.target.closest("[data-do]");
      if (!press) return;
      const act = press.dataset.do;
      if (act === "forget_kept") {
        if (press.dataset.sure) window.wb.ask("act", { do: act, engine: this.engine, run: this.run });
        else {
          press.dataset.sure = "1";
          press.textContent = "Press again: the models of this run cannot be asked any more";
        }
      }
      if (act === "reopen" || act === "fork") window.wb.ask("act", { do: act, engine: this.engine, run: this.run });
      if (act === "ask") {
        press.disabled = true;
        setTimeout(() => { press.disabled = false; }, 3000);
        window.wb.ask("act", { do: act, what: press.dataset.what, engine: this.engine, run: this.run });
      }
    }

    /* A question to what the run has kept. It may take a while, so it does not wait in the line to the server. */
    async inquire(event) {
      const asked = event.target.closest('[data-do="inquire"]');
      if (!asked) return;
      event.preventDefault();
      const [press, told] = [asked.querySelector("button"), asked.parentElement.querySelector(".wb-told")];
      const question = asked.elements.question.value.trim() || asked.elements.question.placeholder;
      asked.elements.question.value = question;
      press.disabled = true;
      told.textContent = "The models are loaded and asked. The first question takes a few seconds longer.";
      try {
        const body = JSON.stringify({ run: this.run, question });
        const headers = { "X-Workbench": "1", "Content-Type": "application/json" };
        const answer = await (await fetch("wb/inquiry", { method: "POST", headers, body })).json();
        if (answer.html) told.innerHTML = answer.html;
        else told.textContent = answer.error;
      } catch {
        told.textContent = "The server does not answer. Ask again in a moment.";
      }
      press.disabled = false;
    }

    /* ---- what the server says ---- */

    receive(message) {
      if (message.kind === "live") this.patch(message);
      else if (message.kind === "form") this.form.load(message);
      else if (message.kind === "errors") {
        this.form.errors(message.errors);
        this.form.sweep.say(message.sweep || "");
      }
      else if (message.kind === "detach") this.clear();
      else if (message.kind === "notice") this.notice(message.html, message.tone);
      else if (message.kind === "silence")
        this.notice("<p>The server does not answer. The run, if it was started, goes on; reload the page to find it.</p>", "bad");
    }

    notice(html, tone = "") {
      const node = this.part("notice");
      node.hidden = !html;
      node.dataset.tone = tone;
      node.innerHTML = html || "";
    }

    /* Back to the empty stage, every frame at its size. */
    clear() {
      this.run = null;
      this.version = 0;
      this.over = false;
      this.notice("");
      for (const frame of this.frames()) this.removeFrame(frame);
      this.arrange(this.holds);
      for (const name of ["alerts", "texts", "lead", "inquiry", "tables", "files"]) this.fragment(name, "");
      this.part("claims").innerHTML = this.claimsHold;
      this.pictures.clear();
      this.status({ state: "idle", word: "Ready", fraction: null, facts: [this.idle], actions: "" });
    }

    patch(message) {
      if (message.run !== this.run) {
        if (message.since > 0) return;
        this.clear();
        this.run = message.run;
      } else if (message.since > this.version || message.version < this.version) return;
      this.version = message.version;
      this.over = message.over;
      this.status(message.status);
      if (message.frames) this.arrange(message.frames);
      for (const [key, figure] of Object.entries(message.figures || {})) this.draw(key, figure);
      if (message.pictures) this.pictures.take(message.pictures, this.over);
      for (const name of ["alerts", "texts", "lead", "inquiry", "tables", "files", "claims"])
        if (message[name] !== undefined && message[name] !== null) this.fragment(name, message[name]);
      this.notice(message.notice || "", message.tone || "");
      if (this.over) this.tidy();
      if (window.wb.current() === this) window.wb.show(this.address(), "replace");
    }

    frame(key) {
      return this.element.querySelector(`[data-figure="${CSS.escape(key)}"]`);
    }

    removeFrame(frame) {
      window.PaperFigures.purge(frame);
      frame.remove();
    }

    /* The frames of this run in their order; what is drawn already stays as it is. */
    arrange(frames) {
      const wanted = new Set(frames.map((frame) => frame.key));
      for (const frame of this.frames()) if (!wanted.has(frame.dataset.figure)) this.removeFrame(frame);
      const place = this.part("figures");
      frames.forEach(({ key, html }, at) => {
        let frame = this.frame(key);
        if (!frame) {
          const made = document.createElement("template");
          made.innerHTML = html;
          frame = made.content.firstElementChild;
        }
        if (place.children[at] !== frame) place.insertBefore(frame, place.children[at] || null);
      });
    }

    draw(key, figure) {
      const frame = this.frame(key);
      if (!frame || !figure.data.length) return;
      if (!frame.dataset.drawn) {
        frame.dataset.drawn = "1";
        frame.replaceChildren();
        frame.hidden = false;
      }
      window.PaperFigures.draw(frame, figure);
    }

    /* A run that is over will fill no more frames: those without data go. */
    tidy() {
      for (const frame of this.frames()) if (!frame.dataset.drawn) frame.hidden = true;
    }

    fragment(name, html) {
      const node = this.part(name);
      if (!node || node.dataset.shown === html) return;
      node.dataset.shown = html;
      node.innerHTML = html;
      node.hidden = !html;
    }

    status(told) {
      const now = { ...this.told, ...told };
      this.told = now;
      const node = this.part("status");
      node.dataset.state = now.state;
      const word = node.querySelector(".wb-state");
      word.dataset.state = now.state;
      if (word.textContent !== now.word) word.textContent = now.word;
      const bar = node.querySelector(".wb-bar");
      const unknown = now.fraction === null || now.fraction === undefined;
      bar.toggleAttribute("data-unknown", unknown && now.state === "running");
      bar.firstElementChild.style.width = `${Math.round(1000 * (now.fraction || 0)) / 10}%`;
      if (unknown) bar.removeAttribute("aria-valuenow");
      else bar.setAttribute("aria-valuenow", Math.round(100 * now.fraction));
      this.facts(node.querySelector(".wb-facts"), now.facts || []);
      const actions = node.querySelector(".wb-run-actions");
      if (actions.dataset.shown !== now.actions) {
        actions.dataset.shown = now.actions;
        actions.innerHTML = now.actions || "";
      }
      const busy = now.state === "running" || now.state === "queued";
      this.element.querySelector('[data-do="stop"]').hidden = !busy;
      this.element.querySelector('[data-do="run"]').textContent = busy ? "Run again" : "Run";
      this.stage.setAttribute("aria-busy", String(busy));
    }

    facts(node, facts) {
      while (node.children.length > facts.length) node.lastElementChild.remove();
      facts.forEach((fact, at) => {
        const span = node.children[at] || node.appendChild(document.createElement("span"));
        if (span.dataset.shown === fact) return;
        span.dataset.shown = fact;
        span.innerHTML = fact;
      });
    }
  }

  window.wb.Bench = Bench;
})();
