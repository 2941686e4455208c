/* Unpacks plotly and the figures of this file, draws them, and draws them again at the width of paper. */
(() => {
  async function unpacked(name) {
    const packed = Uint8Array.from(atob(document.getElementById(name).textContent), (sign) => sign.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }

  function say(words) {
    const notice = document.querySelector(".wb-report-notice");
    notice.textContent = words;
    notice.hidden = false;
  }

  function paper(on) {
    document.documentElement.classList.toggle("wb-printing", on);
    window.PaperFigures.redraw();
  }

  async function start() {
    if (!window.DecompressionStream)
      return say("The figures need a browser of 2023 or newer. Everything else of this report is below.");
    const script = document.createElement("script");
    script.textContent = await unpacked("wb-plotly");
    document.head.append(script);
    const figures = JSON.parse(await unpacked("wb-figures"));
    for (const frame of document.querySelectorAll("[data-figure]")) {
      const figure = figures[frame.dataset.figure];
      if (!figure) continue;
      frame.replaceChildren();
      window.PaperFigures.draw(frame, figure);
    }
    addEventListener("beforeprint", () => paper(true));
    addEventListener("afterprint", () => paper(false));
    document.documentElement.dataset.ready = "1";
    return undefined;
  }

  start().catch((error) => say(`The figures could not be drawn: ${error.message}`));
})();
