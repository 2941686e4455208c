/* Draws figures of the workbench: plotly for the plot, everything around it (title, choice of axis, slider over
   steps, downloads) in plain HTML. A figure is data; this file turns tokens into colours of the scheme at hand,
   fits the layout to the width at hand, and keeps what the reader chose while the figure is redrawn. */
(() => {
  if (window.PaperFigures) return;
  const SCHEMES = __SCHEMES__;
  const NARROW = 440;
  const TOKEN = /^@([a-z0-9-]+)(?:\/(0?\.\d+|1))?$/;
  const drawn = new Set();

  const isDark = () =>
    [document.documentElement, document.body].some((node) => node && node.classList.contains("dark"));

  function colour(token, palette) {
    const match = TOKEN.exec(token);
    const value = match && palette[match[1]];
    if (!value) return token;
    if (!match[2]) return value;
    const [red, green, blue] = [1, 3, 5].map((at) => parseInt(value.slice(at, at + 2), 16));
    return `rgba(${red},${green},${blue},${match[2]})`;
  }

  /* A deep copy in which every token is a colour; packed numbers are passed on as they are. */
  function resolved(value, palette) {
    if (typeof value === "string") return value[0] === "@" ? colour(value, palette) : value;
    if (Array.isArray(value)) return value.map((item) => resolved(item, palette));
    if (value && typeof value === "object") {
      if ("bdata" in value) return value;
      const copy = {};
      for (const key of Object.keys(value)) copy[key] = key === "meta" ? value[key] : resolved(value[key], palette);
      return copy;
    }
    return value;
  }

  function made(tag, className, text) {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  }

  function button(label, title, onPress, className = "pf-quiet") {
    const node = made("button", className, label);
    node.type = "button";
    node.title = title;
    node.setAttribute("aria-label", title);
    node.addEventListener("click", onPress);
    return node;
  }

  /* ---- the parts around the plot ---- */

  function build(node) {
    node.classList.add("pf");
    node.replaceChildren();
    const head = made("div", "pf-head");
    const words = made("div", "pf-words");
    const title = made("h4", "pf-title");
    const subtitle = made("p", "pf-subtitle");
    words.append(title, subtitle);
    const tools = made("div", "pf-tools");
    const choice = made("div", "pf-choice");
    const plot = made("div", "pf-plot");
    plot.setAttribute("role", "img");
    const film = made("div", "pf-film");
    head.append(words, tools);
    node.append(head, choice, plot, film);
    const state = {
      node, title, subtitle, tools, choice, plot, film,
      figure: null, variant: null, frame: null, zoom: 0, zoomed: false, timer: 0, width: 0, ready: false,
    };
    const reset = button("Reset view", "Reset the view to all data", () => resetView(state));
    reset.hidden = true;
    state.reset = reset;
    tools.append(
      reset,
      button("CSV", "Download the numbers of this figure as CSV", () => saveNumbers(state)),
      button("SVG", "Download this figure as SVG", () => saveImage(state, "svg")),
      button("PNG", "Download this figure as PNG", () => saveImage(state, "png")),
    );
    state.observer = new ResizeObserver(() => {
      const width = Math.round(plot.clientWidth);
      if (width && width !== state.width) schedule(state);
    });
    state.observer.observe(plot);
    node.paperFigure = state;
    drawn.add(state);
    return state;
  }

  function describe(state) {
    const { title, subtitle, alt } = state.figure.layout.meta.pw;
    state.title.textContent = title;
    state.subtitle.textContent = subtitle || "";
    state.subtitle.hidden = !subtitle;
    state.plot.setAttribute("aria-label", alt || title);
    const isEmpty = !state.figure.data.length;
    state.node.classList.toggle("pf-empty", isEmpty);
    for (const tool of state.tools.children) if (tool !== state.reset) tool.hidden = isEmpty;
  }

  function buildChoice(state) {
    const variants = state.figure.layout.meta.pw.variants;
    const wanted = variants ? variants.options.map((option) => option.key).join() : "";
    if (state.choice.dataset.keys !== wanted) {
      state.choice.dataset.keys = wanted;
      state.choice.replaceChildren();
      if (variants) {
        state.choice.setAttribute("role", "group");
        state.choice.setAttribute("aria-label", variants.label);
        for (const option of variants.options) {
          const press = button(option.label, `${variants.label}: ${option.label}`, () => {
            state.variant = option.key;
            state.zoom += 1;
            render(state);
          }, "pf-option");
          press.dataset.key = option.key;
          state.choice.append(press);
        }
      }
    }
    state.choice.hidden = !variants;
    if (!variants) return;
    if (!variants.options.some((option) => option.key === state.variant)) state.variant = variants.chosen;
    for (const press of state.choice.children)
      press.setAttribute("aria-pressed", String(press.dataset.key === state.variant));
  }

  function buildFilm(state) {
    const film = state.figure.layout.meta.pw.frames;
    state.film.hidden = !film;
    if (!film) {
      stop(state);
      state.frame = null;
      return;
    }
    if (!state.slider) {
      state.play = button("Play", "Play the history", () => (state.timer ? stop(state) : play(state)));
      state.slider = made("input", "pf-slider");
      state.slider.type = "range";
      state.slider.min = 0;
      state.slider.step = 1;
      state.slider.addEventListener("input", () => {
        stop(state);
        seek(state, Number(state.slider.value));
      });
      state.shown = made("output", "pf-shown");
      state.film.append(state.play, state.slider, state.shown);
    }
    const last = film.names.length - 1;
    state.slider.max = last;
    state.slider.setAttribute("aria-label", `${film.label} shown in ${state.figure.layout.meta.pw.title}`);
    const at = state.frame === null ? last : Math.min(state.frame, last);
    state.slider.value = at;
    state.slider.setAttribute("aria-valuetext", `${film.label} ${film.names[at]}`);
    state.shown.textContent = `${film.label} ${film.names[at]}`;
  }

  /* The last position follows the run: the newest step is shown until the reader goes back. */
  function seek(state, at) {
    const last = state.figure.layout.meta.pw.frames.names.length - 1;
    state.frame = at >= last ? null : at;
    render(state);
  }

  function play(state) {
    const count = state.figure.layout.meta.pw.frames.names.length;
    let at = state.frame === null ? 0 : state.frame;
    state.play.textContent = "Pause";
    state.timer = setInterval(() => {
      seek(state, at);
      if (at >= count - 1) stop(state);
      at += 1;
    }, 180);
  }

  function stop(state) {
    clearInterval(state.timer);
    state.timer = 0;
    if (state.play) state.play.textContent = "Play";
  }

  function resetView(state) {
    state.zoom += 1;
    state.zoomed = false;
    render(state);
  }

  /* ---- from the figure to what plotly is given ---- */

  function composed(state, palette, width) {
    const source = state.figure;
    const film = source.layout.meta.pw.frames;
    const frame = film && state.frame !== null ? source.frames[Math.min(state.frame, source.frames.length - 1)] : null;
    const layout = resolved({ ...source.layout, ...(frame ? frame.layout : {}) }, palette);
    // a number in a frame is a trace of the figure that does not move
    const traces = frame ? frame.data.map((item) => (typeof item === "number" ? source.data[item] : item)) : source.data;
    let data = resolved(traces, palette);
    const variants = source.layout.meta.pw.variants;
    if (variants) {
      const chosen = variants.options.find((option) => option.key === state.variant);
      layout.xaxis = resolved(chosen.xaxis, palette);
      data = data.filter((trace) => !trace.meta || !trace.meta.variant || trace.meta.variant === chosen.key);
      for (const trace of data) if (trace.visible === false) trace.visible = true;
    }
    const family = getComputedStyle(state.node).fontFamily;
    layout.font = { ...layout.font, family };
    const revision = `${source.layout.uirevision}/${state.zoom}`;
    layout.xaxis.uirevision = `${revision}/${state.variant || ""}`;
    layout.yaxis.uirevision = revision;
    fit(layout, data, width);
    return { data, layout };
  }

  /* On a narrow screen the labels at line ends become a legend below, colour bars shrink, and a figure that is too
     wide (`narrow_x`) shows its first part and can be dragged. A legend gets the rows that it needs at this width:
     plotly gives every entry the width of the longest. */
  function fit(layout, data, width) {
    layout.width = width;
    layout.autosize = false;
    if (width < NARROW) narrow(layout, data);
    if (!layout.showlegend) return;
    const names = new Set();
    for (const trace of data) if (trace.showlegend !== false && trace.visible !== false) names.add(trace.name || "");
    const longest = Math.max(...[...names].map((name) => name.length));
    const columns = Math.max(1, Math.floor((width - 62) / (48 + 6.4 * longest)));
    const rows = Math.ceil(names.size / columns);
    const slanted = layout.meta.pw.room || 0; // of slanted names below the axis
    layout.height = layout.meta.pw.height + slanted + 20 * rows;
    layout.margin.b = 46 + slanted + 20 * rows;
  }

  function narrow(layout, data) {
    const labels = layout.annotations.filter((item) => item.name === "end-label");
    const bars = data.some((trace) => trace.colorbar);
    layout.annotations = layout.annotations.filter((item) => item.name !== "end-label");
    layout.margin = { ...layout.margin, l: 48, r: bars ? 64 : 12 };
    for (const item of layout.annotations) {
      if (item.name === "y-title") item.xshift = -40;
      if (item.name === "bar-title") Object.assign(item, { xanchor: "right", xshift: 56 });
      if (item.name === "threshold" && item.xref === "x" && layout.xaxis.range) {
        const [low, high] = layout.xaxis.range;
        if (item.x > low + 0.4 * (high - low)) Object.assign(item, { xanchor: "right", xshift: -4 });
      }
      if (item.name === "not-finite" && item.text.length > 26) item.text = "× some not finite";
    }
    layout.xaxis.nticks = Math.min(layout.xaxis.nticks || 5, 5);
    if (labels.length) layout.showlegend = true;
    const first = layout.meta.pw.narrow_x;
    if (first) {
      layout.xaxis.range = first;
      layout.dragmode = "pan";
      layout.margin.l = 64;
    }
  }

  const CONFIG = { displayModeBar: false, displaylogo: false, responsive: false, doubleClick: false, scrollZoom: false };

  function render(state) {
    const width = Math.round(state.plot.clientWidth);
    if (!state.figure || !width) return;
    if (!window.Plotly) {
      state.plot.style.minHeight = `${state.figure.layout.height}px`;
      setTimeout(() => render(state), 50);
      return;
    }
    state.width = width;
    describe(state);
    buildChoice(state);
    buildFilm(state);
    const { data, layout } = composed(state, SCHEMES[isDark() ? "dark" : "light"], width);
    state.plot.style.minHeight = `${layout.height}px`;
    state.reset.hidden = !state.zoomed;
    window.Plotly.react(state.plot, data, layout, CONFIG);
    if (!state.ready) {
      state.ready = true;
      listen(state);
    }
  }

  function schedule(state) {
    if (state.pending) return;
    state.pending = requestAnimationFrame(() => {
      state.pending = 0;
      render(state);
    });
  }

  function listen(state) {
    state.plot.on("plotly_relayout", (change) => {
      if (Object.keys(change).some((key) => /^[xy]axis\.range/.test(key))) {
        state.zoomed = true;
        state.reset.hidden = false;
      }
    });
    state.plot.on("plotly_doubleclick", () => resetView(state));
    state.plot.on("plotly_click", (event) => {
      const name = state.figure.layout.meta.pw.click;
      const point = event.points.find((item) => item.data.type === "heatmap");
      if (name && point)
        state.node.dispatchEvent(
          new CustomEvent("pf:click", { bubbles: true, detail: { name, x: point.x, y: point.y, z: point.z } }),
        );
    });
  }

  /* ---- taking a figure away ---- */

  function fileName(state) {
    return (state.figure.layout.meta.pw.title || "figure").toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");
  }

  function broken(text, characters) {
    const lines = [""];
    for (const word of text.split(" ")) {
      if (lines.at(-1) && lines.at(-1).length + word.length > characters) lines.push("");
      lines[lines.length - 1] += (lines.at(-1) ? " " : "") + word;
    }
    return lines;
  }

  const escaped = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

  /* The picture that leaves the page carries its title, on paper, in the scheme that the reader sees. */
  function pictured(state, format) {
    const width = Math.max(state.width, 760);
    const palette = SCHEMES[isDark() ? "dark" : "light"];
    const { data, layout } = composed(state, palette, width);
    const { title, subtitle } = state.figure.layout.meta.pw;
    const under = subtitle ? broken(subtitle, Math.floor(width / 7)) : [];
    const extra = 40 + 17 * under.length;
    const rest = under.map((line) => `<span style="font-size:13px;color:${palette.muted}">${escaped(line)}</span>`);
    layout.title = {
      text: [`<b>${escaped(title)}</b>`, ...rest].join("<br>"),
      x: 0, xref: "paper", xanchor: "left", y: 1, yref: "container", yanchor: "top", pad: { t: 18, l: 8 - layout.margin.l },
      font: { size: 16, color: palette.ink },
    };
    layout.margin = { ...layout.margin, t: layout.margin.t + extra };
    layout.height += extra;
    layout.paper_bgcolor = palette.paper;
    const options = { format, width, height: layout.height, scale: 2, filename: fileName(state) };
    return [{ data, layout, config: CONFIG }, options];
  }

  const saveImage = (state, format) => window.Plotly.downloadImage(...pictured(state, format));

  function csvCell(value) {
    const text = value === null || value === undefined || Number.isNaN(value) ? "" : String(value);
    return /[",\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
  }

  /* What plotly holds after unpacking: one row a point, or one a cell of a heat map. */
  function numbers(traces) {
    const rows = [["series", "x", "y", "value"]];
    for (const trace of traces) {
      if (trace.visible === false || trace.hoverinfo === "skip") continue;
      const x = Array.from(trace.x || []);
      const y = Array.from(trace.y || []);
      if (trace.type === "heatmap")
        y.forEach((at, row) => x.forEach((across, column) => rows.push([trace.name, across, at, trace.z[row][column]])));
      else x.forEach((across, index) => rows.push([trace.name, across, "", y[index]]));
    }
    return rows;
  }

  function saveNumbers(state) {
    const text = numbers(state.plot._fullData).map((row) => row.map(csvCell).join(",")).join("\n");
    const link = made("a");
    link.href = URL.createObjectURL(new Blob([text + "\n"], { type: "text/csv" }));
    link.download = `${fileName(state)}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  /* ---- what the page calls ---- */

  /* Plotly looks for a trace that goes by a class made of its uid, and a "/" in it is an error there. */
  function named(trace) {
    if (trace.uid) trace.uid = trace.uid.replace(/[^\w-]/g, (sign) => `_${sign.charCodeAt(0)}_`);
  }

  function draw(node, figure) {
    for (const traces of [figure.data, ...(figure.frames || []).map((one) => one.data)]) traces.forEach(named);
    const state = node.paperFigure || build(node);
    state.figure = figure;
    state.plot.style.minHeight = `${figure.layout.height}px`;
    describe(state);
    render(state);
  }

  function purge(node) {
    const state = node.paperFigure;
    if (!state) return;
    stop(state);
    state.observer.disconnect();
    drawn.delete(state);
    if (window.Plotly && state.ready) window.Plotly.purge(state.plot);
    delete node.paperFigure;
    node.replaceChildren();
  }

  /* A change of scheme redraws; figures whose page part is gone are forgotten. */
  let scheme = isDark();
  const watcher = new MutationObserver(() => {
    if (isDark() === scheme) return;
    scheme = isDark();
    for (const state of [...drawn]) state.node.isConnected ? schedule(state) : purge(state.node);
  });
  watcher.observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
  const watchBody = () => watcher.observe(document.body, { attributes: true, attributeFilter: ["class"] });
  document.body ? watchBody() : document.addEventListener("DOMContentLoaded", watchBody);

  /* At the width of now: paper is measured between two frames, where no observer has spoken yet. */
  const redraw = () => drawn.forEach(render);

  /* A drawn figure as a data address, for files that are written without a reader. */
  const image = (node, format) => window.Plotly.toImage(...pictured(node.paperFigure, format));

  window.PaperFigures = { draw, purge, redraw, image };
})();
