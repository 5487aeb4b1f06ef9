// Pictures of items: a grid's tiles cut from it, thumbnails, the enlarged view, and what is missing.
"use strict";
var Dpg = globalThis.Dpg || {};
(function () {
  const { el } = Dpg;
  const GRIDS = { 1: "one", 2: "pairwise", 4: "four" };

  function none(run) {
    const why = run.replayed ? "replayed: no picture" : "no picture";
    return el("span", { class: "empty" }, why);
  }

  // One tile of a grid, from 0; null gives the whole grid.
  Dpg.crop = function (set, run, item, tile, size = "") {
    const address = Dpg.model.picture(set, run, item, tile);
    const [width, height] = run.pictures.size;
    const alone = Dpg.model.separate(run, item) || !GRIDS[run.tiles];
    const part = tile === null || alone ? "whole" : `${GRIDS[run.tiles]} at${tile}`;
    const box = el("span", { class: `crop ${part} ${size}` }, address
      ? el("img", { src: address, alt: "", loading: "lazy", decoding: "async" }) : none(run));
    box.style.aspectRatio = run.tiles === 2 && tile !== null && !alone ? `${width / 2} / ${height}` : `${width} / ${height}`;
    return box;
  };

  // The tile on which most questions fail, the first of such; 0 where nothing is answered.
  Dpg.worstTile = function (tiles) {
    const bad = tiles.map((letters) => Array.from(letters).filter((letter) => "nz?".includes(letter)).length);
    return Math.max(0, bad.indexOf(Math.max(...bad)));
  };

  // A grid's tiles as buttons that enlarge them. `zoom(tile)` says what the address then has.
  Dpg.tiles = function (set, run, item, scores, zoom) {
    const boxes = Array.from({ length: run.tiles }, (_, tile) => el("button", {
      type: "button", class: "tile", title: "Enlarge",
      disabled: !Dpg.model.picture(set, run, item, tile), click: () => zoom(tile),
    }, Dpg.crop(set, run, item, tile),
    el("span", { class: "under" }, `image ${tile + 1}`, el("strong", {}, Dpg.points(scores[tile], 1)))));
    return el("div", { class: `tiles ${GRIDS[run.tiles] || "many"}`, role: "group",
      "aria-label": `What ${Dpg.short(run.name, 60)} drew` }, boxes);
  };

  // The enlarged view: arrows step through the images, Escape closes.
  function dialog() {
    let box = document.querySelector("dialog.zoom");
    if (!box) {
      box = el("dialog", { class: "zoom", "aria-label": "Enlarged image",
        close: () => { if (Dpg.address.get().zoom) Dpg.address.set({ zoom: "" }, true); },
        click: (event) => { if (event.target === box) box.close(); },
        keydown: (event) => {
          const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
          if (step) Dpg.stepZoom(step);
        } });
      document.body.append(box);
    }
    return box;
  }

  // What the address enlarges: "RUN.TILE" with the run's place and the tile from 1, of the item shown.
  function zoomed(data, state) {
    const [index, tile] = (state.zoom || "").split(".").map(Number);
    const id = Dpg.viewOf(state) === "compare" ? state.pair : state.item;
    const set = data.sets.find((s) => s.ids.includes(id) && s.runs.some((r) => r.index === index));
    const run = set && set.runs.find((r) => r.index === index);
    if (!run || !(tile >= 1 && tile <= run.tiles)) return null;
    return { set, run, item: set.ids.indexOf(id), tile: tile - 1 };
  }

  Dpg.zoomTo = (run, tile, item) => Dpg.address.set({ ...item, zoom: `${run.index}.${tile + 1}` }, true);
  Dpg.stepZoom = function (step) {
    const now = zoomed(Dpg.data, Dpg.address.get());
    if (now) Dpg.zoomTo(now.run, (now.tile + step + now.run.tiles) % now.run.tiles);
  };

  Dpg.zoom = function (data) {
    Dpg.address.listen((state, changed) => {
      if (!changed.has("zoom") && !changed.has("item")) return;
      const now = zoomed(data, state);
      const open = document.querySelector("dialog.zoom[open]");
      if (!now) {
        if (open) open.close();
        return;
      }
      const { set, run, item, tile } = now;
      const step = (text, by, name) => el("button", { type: "button", class: "step", "aria-label": name,
        disabled: run.tiles < 2, click: () => Dpg.stepZoom(by) }, text);
      const box = dialog();
      Dpg.redraw(box,
        el("div", { class: "zoom-head" }, el("p", {}, Dpg.swatch(run), Dpg.name(run), " · ", Dpg.middle(set.ids[item]),
          ` · image ${tile + 1} of ${run.tiles}`),
        el("div", { class: "pager" }, step("←", -1, "Previous image"), step("→", 1, "Next image"),
          el("button", { type: "button", class: "step", "aria-label": "Close", click: () => box.close() }, "✕"))),
        Dpg.crop(set, run, item, tile, "large"));
      if (!box.open) box.showModal();
    });
  };

  // Pictures that are not where the page looks for them: says which folder, once for each.
  Dpg.moved = function () {
    const place = document.querySelector("[data-moved]");
    const folders = new Map();
    document.addEventListener("error", (event) => {
      const image = event.target;
      if (!(image instanceof HTMLImageElement) || image.src.startsWith("data:")) return;
      image.replaceWith(el("span", { class: "empty" }, "picture not here"));
      const folder = new URL(".", image.src);
      const shown = decodeURIComponent(folder.protocol === "file:" ? folder.pathname : folder.href);
      folders.set(shown, (folders.get(shown) || 0) + 1);
      place.hidden = false;
      place.replaceChildren(
        el("p", {}, el("strong", {}, "Pictures are missing."), " This page links pictures by their place beside it, and does not find them in:"),
        el("ul", {}, [...folders.keys()].sort().map((name) => el("li", {}, el("code", {}, name)))),
        el("p", {}, "Move the report together with its runs, or make one that has small copies inside: ",
          el("code", {}, "dpgbench report --embed thumbs"), "."));
    }, true);
  };
})();
