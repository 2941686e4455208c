/* The page's own wiring: one line to the server (the wire), one look a second at what runs, the address,
   the colour scheme. Nothing here knows an engine; forms and stages register as benches. */
(() => {
  if (window.wb) return;
  const REPLY_TIMEOUT_MS = 30000;
  const SETTLE_MS = 150;
  const TICK_MS = 700;
  let travelling = 0;
  const benches = new Map();
  const inbox = new Map();
  const waiting = [];
  let sending = null;
  let counter = 0;
  let wire = null;
  let place = null;

  /* ---- asking the server: one question at a time, so that no answer can overwrite another ---- */

  function ask(event, payload) {
    return new Promise((resolve) => {
      counter += 1;
      waiting.push({ event, payload: { ...payload, id: counter }, resolve });
      next();
    });
  }

  function next() {
    if (sending || !wire || !waiting.length) return;
    sending = waiting.shift();
    const late = () => answered({ id: sending.payload.id, do: [{ kind: "silence", engine: sending.payload.engine }] });
    sending.timeout = setTimeout(late, REPLY_TIMEOUT_MS);
    wire.trigger(sending.event, sending.payload);
  }

  function answered(reply) {
    if (!reply) return;
    const asked = sending && (reply.id === sending.payload.id || reply.id === 0) ? sending : null;
    if (asked && reply.id) {
      clearTimeout(asked.timeout);
      sending = null;
    }
    for (const message of reply.do || []) deliver(message);
    if (asked && reply.id) asked.resolve(reply);
    next();
  }

  function deliver(message) {
    if (message.kind === "address") return suggest(message.search, "replace");
    if (message.kind === "goto") return go(message.search);
    if (message.kind === "arrived") return arrived();
    // A host that lends its GPU to requests executes the run inside this one; its answer says nothing new.
    if (message.kind === "work") return wire.trigger("work", { run: message.run });
    if (message.kind === "home") {
      home.html = message.html;
      return fillHome();
    }
    if (message.kind === "page") return pageNotice(message.html, message.tone);
    const bench = benches.get(message.engine);
    if (bench) return bench.receive(message);
    if (message.engine) inbox.set(message.engine, [...(inbox.get(message.engine) || []), message]);
    return undefined;
  }

  /* The cards with their last runs: new ones take the place of old ones only where something changed. */
  const home = { element: null, html: "" };

  function fillHome() {
    if (!home.element || !home.html || home.shown === home.html) return;
    home.shown = home.html;
    const made = document.createElement("template");
    made.innerHTML = home.html;
    for (const image of made.content.querySelectorAll(".wb-card-view img"))
      image.addEventListener("load", () => image.classList.toggle("wb-pixels", image.naturalWidth <= 160));
    home.element.firstElementChild.replaceChildren(...made.content.firstElementChild.childNodes);
  }

  function mountHome(element) {
    home.element = element;
    fillHome();
    seen.observe(element.firstElementChild);
  }

  function pageNotice(html, tone) {
    const node = document.getElementById("wb-page-notice");
    if (!node) return;
    node.hidden = !html;
    node.dataset.tone = tone || "";
    node.innerHTML = html || "";
  }

  /* The page may be clicked from now on: everything is mounted and the address has been read. */
  function arrived() {
    delete document.documentElement.dataset.arriving;
    document.documentElement.dataset.ready = "1";
    loadPlotly();
  }

  /* Nearly five megabytes of plotly come after the page can be used, once; figures wait for it by themselves. */
  function loadPlotly() {
    if (document.querySelector("script[data-plotly]")) return;
    const script = document.createElement("script");
    script.src = "wb/plotly.min.js";
    script.async = true;
    script.dataset.plotly = "1";
    document.head.append(script);
  }

  function mountWire(element, trigger, props, watch) {
    wire = { trigger };
    watch("value", () => answered(props.value));
    if (props.value) answered(props.value);
    next();
  }

  /* ---- what goes on: asked for as long as this page shows a run that is not over, and can be seen ---- */

  let listening = false;

  async function listen() {
    const shown = following();
    if (listening || !shown.length || document.hidden || !document.documentElement.dataset.ready) return;
    listening = true;
    try {
      const reply = await fetch("wb/follow", { method: "POST", body: JSON.stringify(shown) });
      const said = reply.ok ? await reply.json() : { live: [] };
      for (const message of said.live) deliver(message);
    } catch (lost) {
      // The server may be back at the next look; what was recorded meanwhile comes then.
    } finally {
      listening = false;
    }
  }

  setInterval(listen, TICK_MS);

  /* ---- benches ---- */

  function register(bench) {
    benches.set(bench.engine, bench);
    for (const message of inbox.get(bench.engine) || []) bench.receive(message);
    inbox.delete(bench.engine);
    seen.observe(bench.element);
  }

  /* What is asked for: the runs that this page shows right now and that are not over. */
  function following() {
    const found = [];
    for (const bench of benches.values())
      if (bench.run && !bench.over && bench.element.isConnected && bench.element.offsetParent !== null)
        found.push({ engine: bench.engine, run: bench.run, since: bench.version });
    return found;
  }

  const current = () => [...benches.values()].find((bench) => bench.element.isConnected && bench.element.offsetParent !== null);

  /* A tab that comes into sight sets the address, and its run is followed again. */
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      const bench = [...benches.values()].find((one) => one.element === entry.target);
      if (bench) {
        bench.fit();
        enter(`bench ${bench.engine}`, bench.address());
        if (bench.run && !bench.over) ask("act", { do: "follow", engine: bench.engine, run: bench.run, since: bench.version });
      } else if (entry.target.dataset.place !== undefined) {
        const search = entry.target.dataset.place;
        if (enter(`place ${search}`, search) && search === "" && document.documentElement.dataset.ready) ask("act", { do: "home" });
      }
    }
  });

  function enter(name, search) {
    if (place === name) return false;
    const first = place === null;
    place = name;
    if (!document.documentElement.dataset.ready) return !first;
    // On the way to an address the tab that comes into sight is the answer to it, not a new wish of the reader's:
    // a push here would cut off what lies ahead in the history.
    if (travelling || (/[?&](compare=|sweep=|view=claims)/.test(location.search) && search === "?view=library")) return true;
    show(search, "push");
    return true;
  }

  /* ---- the address ---- */

  function show(search, how) {
    const wanted = search || "";
    if (location.search === wanted) return;
    const url = location.pathname + wanted + location.hash;
    how === "push" ? history.pushState(null, "", url) : history.replaceState(null, "", url);
    window.dispatchEvent(new CustomEvent("wb:address", { detail: location.search }));
  }

  /* An address that follows from an answer. A reader who went on meanwhile (back, another link) is not pulled to it. */
  function suggest(search, how) {
    if (![sending, ...waiting].some((question) => question && question.event === "go")) show(search, how);
  }

  function go(search, how = "push") {
    pageNotice("");
    const target = search.startsWith("?") ? search : search ? `?${search}` : "";
    if (how === "push") show(target, "push");
    place = null;
    travelling += 1;
    const settle = () => setTimeout(() => { travelling -= 1; }, SETTLE_MS);
    return ask("go", { search: target }).finally(settle);
  }

  window.addEventListener("popstate", () => {
    window.dispatchEvent(new CustomEvent("wb:address", { detail: location.search }));
    go(location.search, "pop");
  });

  document.addEventListener("click", (event) => {
    const link = event.target.closest && event.target.closest("a[data-wb]");
    if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(link.getAttribute("href"));
  });

  /* ---- keys ---- */

  document.addEventListener("keydown", (event) => {
    const bench = current();
    if (!bench || event.defaultPrevented || document.querySelector("dialog[open]")) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      bench.start();
    } else if (event.key === "Escape") {
      if (bench.closeDrawer()) event.preventDefault();
      else if (bench.run && !bench.over) {
        event.preventDefault();
        bench.stop();
      }
    }
  });

  /* ---- light and dark ---- */

  function keep(name, value) {
    try {
      localStorage.setItem(name, value);
    } catch (refused) {
      console.info("This browser keeps no settings for this page.", refused);
    }
  }

  function toggleScheme() {
    const dark = document.body.classList.toggle("dark");
    keep("wb-scheme", dark ? "dark" : "light");
  }

  function mountScheme(element) {
    element.querySelector("button").addEventListener("click", toggleScheme);
    try {
      const chosen = localStorage.getItem("wb-scheme");
      if (chosen) document.body.classList.toggle("dark", chosen === "dark");
    } catch (refused) {
      console.info("This browser keeps no settings for this page.", refused);
    }
  }

  /* Numbers as the page shows them: three or four significant digits, no needless zeros. */
  function short(value) {
    if (value === null || value === undefined) return "";
    if (!Number.isFinite(value)) return String(value);
    if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
    const size = Math.abs(value);
    if (size >= 1e5 || (size < 1e-3 && size > 0)) return value.toExponential(2);
    return String(Number(value.toPrecision(4)));
  }

  window.wb = {
    ask, go, notice: pageNotice, following, register, mountWire, mountScheme, mountHome, show: suggest, keep, short, current,
    observePlace: (element) => seen.observe(element),
  };
})();
