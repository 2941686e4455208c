/* A picture dropped on an engine's tab fills that tab's form with the settings that stand in it; its fields for files take
   what is dropped on them by themselves. */
(() => {
  if (!window.wb || window.wb.takePictures) return;

  function escaped(text) {
    const node = document.createElement("p");
    node.textContent = text;
    return node.outerHTML;
  }

  const holdsFiles = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");

  async function take(file, engine) {
    if (file.type !== "image/png")
      return window.wb.notice(escaped(`${file.name} is no PNG. Drop a file on the field that takes it, and bundles or curves in the Library.`), "bad");
    let answer;
    try {
      const headers = { "x-workbench": "1", "x-name": encodeURIComponent(file.name) };
      const reply = await fetch(`wb/library/import?engine=${encodeURIComponent(engine)}`, { method: "POST", headers, body: file });
      answer = await reply.json();
    } catch (lost) {
      answer = { error: "The workbench does not answer. Is it still running?" };
    }
    if (answer.error) return window.wb.notice(escaped(answer.error), "bad");
    return window.wb.go(answer.go).then(() => window.wb.notice(answer.note || ""));
  }

  function takePictures(element, engine) {
    for (const kind of ["dragover", "drop"])
      element.addEventListener(kind, (event) => {
        if (!holdsFiles(event) || event.target.closest(".wb-file")) return;
        event.preventDefault();
        if (kind === "drop" && event.dataTransfer.files.length) take(event.dataTransfer.files[0], engine);
      });
  }

  window.wb.takePictures = takePictures;
})();
