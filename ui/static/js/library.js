/* The Library: asks its routes, shows the HTML that they answer, and turns clicks into what is asked next. */
(() => {
  if (!window.wb || window.wb.mountLibrary) return;
  const POLL_MS = 3000;
  const TYPING_MS = 200;

  async function ask(path, body) {
    const named = body instanceof File ? { "x-name": encodeURIComponent(body.name) } : {};
    const options = body === undefined ? {} : { method: "POST", headers: { "x-workbench": "1", ...named }, body: body instanceof Blob ? body : JSON.stringify(body) };
    let reply;
    try {
      reply = await fetch(`wb/library/${path}`, options);
    } catch (lost) {
      return { error: "The workbench does not answer. Is it still running?" };
    }
    try {
      return await reply.json();
    } catch (unreadable) {
      return { error: `The workbench answered with an error (${reply.status}).` };
    }
  }

  class Library {
    constructor(element) {
      this.element = element;
      this.state = { text: "", engine: "", status: "", tag: "", order: "created_at", descending: "1", page: "0" };
      this.picked = new Map();
      this.asked = 0;
      this.sweep = new window.wb.SweepPage(element.querySelector(".wb-lib-sweep"), ask);
      element.addEventListener("click", (event) => this.clicked(event));
      element.addEventListener("input", (event) => this.typed(event));
      element.addEventListener("change", (event) => this.changed(event));
      for (const kind of ["dragover", "drop"]) element.addEventListener(kind, (event) => this.dropped(event));
      window.addEventListener("wb:address", () => this.arrive());
      new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && this.arrive()).observe(element);
      setInterval(() => this.running && this.visible() && !this.comparing && !document.hidden && this.load(), POLL_MS);
    }

    part(name) { return this.element.querySelector(`[data-lib="${name}"]`); }
    visible() { return this.element.isConnected && this.element.offsetParent !== null; }

    arrive() {
      const asked = new URLSearchParams(location.search);
      const ids = asked.get("compare");
      const onBoard = asked.get("view") === "claims";
      const sweep = asked.get("sweep");
      this.comparing = Boolean(ids || sweep) || onBoard;
      this.element.querySelector(".wb-lib-main").hidden = this.comparing;
      const board = this.element.querySelector(".wb-lib-board");
      board.hidden = !onBoard;
      if (onBoard) this.board(board);
      const stage = this.element.querySelector(".wb-lib-compare");
      stage.hidden = !ids;
      this.element.querySelector(".wb-lib-sweep").hidden = !sweep;
      if (sweep) return this.sweep.show(sweep);
      this.sweep.leave();
      if (ids) return this.compare(stage, ids);
      if (onBoard) return undefined;
      return this.visible() ? this.load() : undefined;
    }

    async load() {
      this.asked += 1;
      const mine = this.asked;
      const answer = await ask(`runs?${new URLSearchParams(this.state)}`);
      if (mine !== this.asked) return;
      if (answer.error) return this.say(answer.error, "bad");
      this.running = answer.running;
      const rows = this.part("rows");
      const held = rows.contains(document.activeElement) && document.activeElement.dataset.order;
      if (rows.dataset.html !== answer.html) {
        rows.innerHTML = answer.html;
        rows.dataset.html = answer.html;
      }
      if (held) rows.querySelector(`[data-order="${held}"]`)?.focus();
      this.offer("engine", answer.engines);
      this.offer("status", answer.statuses.map((word) => [word, word[0].toUpperCase() + word.slice(1)]));
      this.offer("tag", answer.tags.map((word) => [word, word]));
      for (const row of rows.querySelectorAll("tr[data-run]")) {
        const box = row.querySelector("input[type=checkbox]");
        box.checked = this.picked.has(row.dataset.run);
      }
      this.count();
    }

    offer(name, pairs) {
      const select = this.part(name);
      const known = JSON.stringify(pairs);
      if (select.dataset.known === known) return;
      select.dataset.known = known;
      select.replaceChildren(select.options[0], ...pairs.map(([value, words]) => new Option(words, value)));
      select.value = this.state[name];
    }

    say(words, tone) {
      const notice = this.element.querySelector(".wb-lib-notice");
      notice.textContent = words;
      notice.dataset.tone = tone || "";
      notice.hidden = !words;
    }

    count() {
      this.element.querySelector(".wb-lib-selected").hidden = !this.picked.size;
      this.part("count").textContent = `${this.picked.size} selected`;
      this.element.querySelector('[data-lib-do="compare"]').disabled = this.picked.size < 2;
    }

    typed(event) {
      const cut = event.target.closest(".wb-lib-cut");
      if (cut) return cut.querySelector(".wb-split").style.setProperty("--cut", `${event.target.value}%`);
      if (event.target.dataset.lib !== "text") return undefined;
      clearTimeout(this.typing);
      this.typing = setTimeout(() => this.set({ text: event.target.value, page: "0" }), TYPING_MS);
      return undefined;
    }

    changed(event) {
      const { lib } = event.target.dataset;
      if (lib === "file") return this.bring(event.target);
      if (["engine", "status", "tag"].includes(lib)) return this.set({ [lib]: event.target.value, page: "0" });
      const row = event.target.closest("tr[data-run]");
      if (row) {
        event.target.checked ? this.picked.set(row.dataset.run, row.dataset) : this.picked.delete(row.dataset.run);
        this.count();
      }
      return undefined;
    }

    set(values) {
      Object.assign(this.state, values);
      return this.load();
    }

    clicked(event) {
      const button = event.target.closest("button");
      if (!button) return undefined;
      if (button.dataset.order) {
        const again = this.state.order === button.dataset.order;
        return this.set({ order: button.dataset.order, descending: again && this.state.descending === "1" ? "0" : "1", page: "0" });
      }
      if (button.dataset.page) return this.set({ page: button.dataset.page });
      const act = this.acts()[button.dataset.libDo];
      return act ? act(button.closest("tr[data-run]"), button) : undefined;
    }

    acts() {
      return {
        compare: () => window.wb.go(`?compare=${[...this.picked.keys()].join(",")}`),
        "export-many": () => { location.href = `wb/export/${[...this.picked.keys()].join(",")}.zip`; },
        "delete-many": () => this.confirmDelete([...this.picked.keys()], [...this.picked.values()].some((run) => run.engine === "sweep")),
        clear: () => { this.picked.clear(); return this.load(); },
        reset: () => {
          for (const name of ["text", "engine", "status", "tag"]) this.part(name).value = "";
          return this.set({ text: "", engine: "", status: "", tag: "", page: "0" });
        },
        delete: (row) => this.confirmDelete([row.dataset.run], row.dataset.engine === "sweep"),
        edit: (row) => this.edit(row.dataset.run),
        same: (row, button) => {
          for (const line of this.element.querySelectorAll(".wb-same")) line.hidden = !line.hidden;
          button.textContent = this.element.querySelector(".wb-same").hidden ? "Show the settings that agree" : "Hide the settings that agree";
        },
      };
    }

    /* A dialog with a heading, a body and two buttons; resolves to true where the reader goes on. */
    dialog(heading, body, verb) {
      const box = this.element.querySelector("dialog");
      box.innerHTML = `<form method="dialog"><h2></h2><div></div><div class="wb-dialog-row">
        <button value="no" class="wb-secondary">Cancel</button><button value="yes" class="wb-primary"></button></div></form>`;
      box.querySelector("h2").textContent = heading;
      box.querySelector("div").append(...body);
      box.querySelector('[value="yes"]').textContent = verb;
      box.returnValue = "no";
      box.showModal();
      return new Promise((resolve) => box.addEventListener("close", () => resolve(box.returnValue === "yes"), { once: true }));
    }

    async confirmDelete(ids, hasSweep) {
      const words = document.createElement("p");
      words.textContent = `${hasSweep ? "A sweep takes all its cells along, those that wait too. " : ""}Curves, pictures and notes go with it and cannot be brought back. Export first what you want to keep.`;
      const what = ids.length > 1 ? `${ids.length} ${hasSweep ? "runs and sweeps" : "runs"}` : hasSweep ? "this sweep" : "this run";
      const sure = await this.dialog(`Delete ${what}?`, [words], "Delete");
      if (!sure) return;
      const answer = await ask("delete", { ids });
      if (answer.error) return this.say(answer.error, "bad");
      for (const id of answer.deleted) this.picked.delete(id);
      this.say([...answer.refused, answer.deleted.length ? `Deleted ${answer.deleted.length} run${answer.deleted.length === 1 ? "" : "s"}.` : ""].filter(Boolean).join(" "), answer.refused.length ? "bad" : "");
      await this.load();
    }

    async edit(id) {
      const now = await ask("about", { ids: [id] });
      if (now.error) return this.say(now.error, "bad");
      const field = (words, kind, value) => {
        const label = document.createElement("label");
        const input = document.createElement(kind);
        label.className = "wb-lib-field";
        input.className = "wb-input";
        input.value = value;
        label.append(words, input);
        return [label, input];
      };
      const [tagLabel, tags] = field("Tags, separated by commas", "input", now.tags);
      const [noteLabel, note] = field("Note", "textarea", now.note);
      if (!(await this.dialog("Tags and note", [tagLabel, noteLabel], "Save"))) return undefined;
      const answer = await ask("annotate", { ids: [id], tags: tags.value, note: note.value });
      this.say(answer.error || "", answer.error ? "bad" : "");
      return this.load();
    }

    dropped(event) {
      if (!event.dataTransfer || ![...event.dataTransfer.types].includes("Files")) return;
      event.preventDefault();
      if (event.type === "drop") this.take(event.dataTransfer.files[0]);
    }

    bring(input) {
      const file = input.files[0];
      input.value = "";
      return this.take(file);
    }

    async take(file) {
      if (!file) return undefined;
      this.say(`Reading ${file.name}.`);
      const answer = await ask("import", file);
      if (answer.error) return this.say(answer.error, "bad");
      if (answer.go) {
        this.say("");
        return window.wb.go(answer.go).then(() => window.wb.notice(answer.note || ""));
      }
      this.say(`Imported ${answer.ids.length} run${answer.ids.length === 1 ? "" : "s"}.`);
      return this.load();
    }

    async board(place) {
      if (!place.innerHTML) place.innerHTML = '<div class="wb-empty">Reading the claims.</div>';
      const answer = await ask("claims");
      if (answer.error) {
        place.innerHTML = '<div class="wb-empty"></div>';
        place.firstElementChild.textContent = answer.error;
      } else if (place.dataset.html !== answer.html) {
        place.innerHTML = answer.html;
        place.dataset.html = answer.html;
      }
    }

    async compare(stage, ids) {
      if (this.compared === ids) return;
      this.compared = ids;
      stage.innerHTML = '<div class="wb-empty">Reading the runs.</div>';
      const answer = await ask(`compare?${new URLSearchParams({ ids })}`);
      if (this.compared !== ids) return;
      if (answer.error) {
        this.compared = null;
        stage.innerHTML = '<div class="wb-empty"><p></p><a class="wb-quiet" data-wb href="?view=library">Back to all runs</a></div>';
        stage.querySelector("p").textContent = answer.error;
        return;
      }
      stage.innerHTML = answer.html;
      for (const node of stage.querySelectorAll("[data-compare-figure]"))
        window.PaperFigures.draw(node, answer.figures[node.dataset.compareFigure]);
    }
  }

  window.wb.mountLibrary = (element) => new Library(element);
})();
