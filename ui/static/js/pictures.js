/* Pictures by group: one slider over the steps of a group, captions under, small pictures in whole multiples. */
(() => {
  if (window.wb.Pictures) return;
  const SMALL = 160;

  class Pictures {
    constructor(element) {
      this.element = element;
      this.awaits = [...element.children];
      this.resize = new ResizeObserver(() => this.scale());
      this.resize.observe(element);
      this.clear();
    }

    clear() {
      this.groups = new Map();
      this.element.replaceChildren(...this.awaits);
      this.element.hidden = !this.awaits.length;
    }

    take(groups) {
      for (const told of groups) {
        const group = this.groups.get(told.key) || this.build(told);
        for (const item of told.items) group.items.set(item.name, item);
        this.show(group);
      }
      if (this.groups.size) for (const node of this.awaits) node.remove();
      this.element.hidden = !this.element.children.length;
      this.scale();
    }

    build(told) {
      const node = document.createElement("section");
      node.className = "wb-block";
      node.innerHTML =
        '<div class="wb-block-head"><h3></h3><label class="wb-strip-control" hidden><span></span>' +
        '<input type="range" min="0" max="0" value="0"><output></output></label></div><div class="wb-shots"></div>';
      node.querySelector("h3").textContent = told.title;
      node.querySelector("label span").textContent = told.step[0].toUpperCase() + told.step.slice(1);
      const group = {
        node, title: told.title, order: told.order, items: new Map(), shots: new Map(), at: null,
        slider: node.querySelector("input"), control: node.querySelector("label"), shown: node.querySelector("output"),
      };
      group.slider.setAttribute("aria-label", `Step shown in ${told.title}`);
      group.slider.addEventListener("input", () => {
        const last = this.steps(group).length - 1;
        const at = Number(group.slider.value);
        group.at = at >= last ? null : at;
        this.show(group);
      });
      this.groups.set(told.key, group);
      const later = [...this.groups.values()].find((other) => other !== group && other.order > told.order);
      this.element.insertBefore(node, later ? later.node : null);
      return group;
    }

    steps(group) {
      const found = new Set();
      for (const item of group.items.values()) for (const frame of item.frames) found.add(frame.step);
      return [...found].sort((left, right) => left - right);
    }

    /* The last position follows the run; any other is kept where the reader left it. */
    show(group) {
      const steps = this.steps(group);
      const last = steps.length - 1;
      const at = group.at === null ? last : Math.min(group.at, last);
      group.control.hidden = steps.length < 2;
      group.slider.max = last;
      group.slider.value = at;
      const step = steps[at];
      group.shown.textContent = window.wb.short(step);
      group.slider.setAttribute("aria-valuetext", `step ${window.wb.short(step)}`);
      const items = [...group.items.values()].sort((left, right) => left.order - right.order);
      const shots = group.node.querySelector(".wb-shots");
      if (items.length < 4) shots.dataset.few = items.length;
      else delete shots.dataset.few;
      /* room for small pictures at twice their size, also where several stand side by side in one */
      const wide = Math.max(...items.map((item) => item.frames[0].width));
      if (wide <= SMALL) shots.style.setProperty("--wb-shot", `${Math.min(420, Math.max(220, 2 * wide + 2))}px`);
      items.forEach((item, place) => this.shot(group, shots, item, step, place));
    }

    shot(group, shots, item, step, place) {
      const frame = [...item.frames].reverse().find((one) => one.step <= step) || item.frames[0];
      let shot = group.shots.get(item.name);
      if (!shot) {
        const node = document.createElement("figure");
        node.className = "wb-shot";
        node.innerHTML = '<button type="button" class="wb-canvas"><img decoding="async" alt=""></button><figcaption><b></b><span></span></figcaption>';
        shot = { node, image: node.querySelector("img"), canvas: node.querySelector("button") };
        shot.canvas.addEventListener("click", () => enlarge(shot, this));
        if (item.before) splitBy(shot, item);
        group.shots.set(item.name, shot);
      }
      if (shots.children[place] !== shot.node) shots.insertBefore(shot.node, shots.children[place] || null);
      if (shot.hash !== frame.hash) {
        shot.hash = frame.hash;
        shot.image.src = `wb/artifact/${frame.hash}`;
      }
      shot.frame = frame;
      shot.item = item;
      shot.node.dataset.role = item.role || "";
      /* a caption that begins with the title, which stands above it, need not say it again */
      const again = `${item.title}: `.toLowerCase();
      shot.caption = frame.caption.toLowerCase().startsWith(again) ? frame.caption.slice(again.length) : frame.caption;
      const words = [item.title, shot.caption].filter(Boolean).join(": ");
      shot.image.alt = words || item.name;
      shot.canvas.setAttribute("aria-label", `Enlarge: ${words || item.name}`);
      shot.image.classList.toggle("wb-pixels", item.pixelated || Math.max(frame.width, frame.height) <= SMALL);
      shot.canvas.style.aspectRatio = `${frame.width} / ${frame.height}`;
      shot.node.querySelector("figcaption b").textContent = item.title;
      shot.node.querySelector("figcaption span").textContent = shot.caption;
    }

    /* Other pictures of the same size, for the cut. */
    alike(shot) {
      const all = [...this.groups.values()].flatMap((group) => [...group.shots.values()]);
      const fits = (other) => other !== shot && other.frame.width === shot.frame.width && other.frame.height === shot.frame.height;
      return all.filter(fits);
    }

    /* Small pictures get a whole number of screen pixels for each of theirs; what belongs to them is as wide. */
    scale() {
      for (const group of this.groups.values())
        for (const shot of group.shots.values()) {
          const room = shot.node.clientWidth;
          const { width, height } = shot.frame;
          const small = Math.max(width, height) <= SMALL;
          const times = Math.floor((room - 2) / width);
          shot.node.style.setProperty("--wb-wide", small && times >= 1 ? `${times * width + 2}px` : "100%");
        }
    }
  }

  /* The first picture over the present one: left of the cut stands what was, right of it what is. */
  function splitBy(shot, item) {
    shot.canvas.classList.add("wb-split");
    shot.canvas.dataset.two = "";
    const over = document.createElement("img");
    over.src = `wb/artifact/${item.before}`;
    over.alt = `${item.title} before: ${item.beforeWords}`;
    over.className = `wb-before${item.pixelated ? " wb-pixels" : ""}`;
    shot.canvas.append(over);
    const row = document.createElement("label");
    row.className = "wb-cut";
    row.innerHTML = '<span>Before</span><input type="range" min="0" max="100" value="50"><span>After</span>';
    const cut = row.querySelector("input");
    cut.setAttribute("aria-label", `Before and after of ${item.title}`);
    cut.addEventListener("input", () => shot.canvas.style.setProperty("--cut", `${cut.value}%`));
    shot.canvas.after(row);
  }

  function enlarge(shot, pictures) {
    const dialog = document.createElement("dialog");
    dialog.className = "wb-lightbox";
    dialog.setAttribute("aria-label", shot.image.alt);
    dialog.innerHTML =
      '<div class="wb-split"><img></div><p><span></span><span class="wb-box-tools"><label class="wb-off" for="wb-beside">Beside</label>' +
      '<select id="wb-beside"><option value="">Compare with</option></select>' +
      '<a class="wb-quiet">Save</a><button type="button" class="wb-quiet">Close</button></span></p>' +
      '<input type="range" min="0" max="100" value="50" aria-label="Where the two pictures meet" hidden>';
    const stage = dialog.querySelector(".wb-split");
    const image = stage.querySelector("img");
    image.src = shot.image.src;
    image.alt = shot.image.alt;
    image.className = shot.image.className;
    image.style.aspectRatio = `${shot.frame.width} / ${shot.frame.height}`;
    dialog.querySelector("p > span").textContent = shot.image.alt;
    const save = dialog.querySelector("a");
    save.href = `${shot.image.getAttribute("src")}?name=${encodeURIComponent(`${shot.item.name.replace(/[^\w-]+/g, "-")}.png`)}`;
    beside(dialog, stage, shot, pictures.alike(shot));
    const close = dialog.querySelector("button");
    close.addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    dialog.addEventListener("close", () => {
      dialog.remove();
      shot.canvas.focus();
    });
    document.querySelector(".gradio-container").append(dialog);
    dialog.showModal();
    close.focus();
  }

  /* Another picture of the same size over this one, with a cut that the reader drags. */
  function beside(dialog, stage, shot, others) {
    const select = dialog.querySelector("select");
    const cut = dialog.querySelector("input");
    select.hidden = !others.length;
    others.forEach((other, at) => select.add(new Option(other.item.title, String(at))));
    select.addEventListener("change", () => {
      const second = stage.querySelector("img + img");
      if (second) second.remove();
      const other = others[Number(select.value)];
      stage.toggleAttribute("data-two", select.value !== "");
      cut.hidden = select.value === "";
      if (select.value === "") return;
      const over = document.createElement("img");
      over.src = other.image.src;
      over.alt = other.image.alt;
      over.className = other.image.className;
      stage.append(over);
    });
    cut.addEventListener("input", () => stage.style.setProperty("--cut", `${cut.value}%`));
    stage.addEventListener("pointermove", (event) => {
      if (cut.hidden || !(event.buttons || event.pointerType === "mouse")) return;
      const box = stage.getBoundingClientRect();
      cut.value = Math.round((100 * (event.clientX - box.left)) / box.width);
      stage.style.setProperty("--cut", `${cut.value}%`);
    });
  }

  window.wb.Pictures = Pictures;
})();
