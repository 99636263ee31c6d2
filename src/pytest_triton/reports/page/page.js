"use strict";
(() => {
  const find = (selector) => document.querySelector(selector);
  const data = JSON.parse(find("#data").textContent);
  const table = find("#matrix");
  const body = table.tBodies[0];
  const story = find("#story");
  const search = find("#search");
  const titles = [...table.tHead.rows[0].cells];
  const columns = data.columns;
  const models = [...body.rows].map((row, number) => ({
    row,
    number,
    name: row.cells[0].querySelector("bdi").textContent,
    deployment: row.dataset.d || "",
    text: row.textContent.toLowerCase(),
    attention: row.classList.contains("attention"),
    cells: [...row.cells],
    shown: true,
  }));
  const deployments = new Set(models.map((one) => one.deployment)).size;
  let shown = models; // in the order of the page
  let order = models;

  // --- texts of others -------------------------------------------------------------------------

  // What can't be seen, or would turn the text around it, is shown as its number.
  const visible = (text) =>
    text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu, (one) =>
      one === "\n" || one === "\t" ? one : `\\u{${one.codePointAt(0).toString(16)}}`,
    );

  /** An element with attributes and children; texts are only ever texts. */
  const make = (name, attributes = {}, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    for (const child of children.flat(Infinity)) {
      if (child !== null && child !== "") element.append(child);
    }
    return element;
  };

  const shape = (kind, real) => {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("class", real ? "i real" : "i");
    svg.setAttribute("aria-hidden", "true");
    const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
    use.setAttribute("href", `#${kind}`);
    svg.append(use);
    return svg;
  };

  const stamp = (run) => {
    if (!run) return make("span", { class: "stamp none" }, "no server");
    const real = run === "real run";
    return make("span", { class: `stamp ${real ? "real" : "rehearsal"}` }, real ? run : "rehearsal");
  };

  // --- what is shown ---------------------------------------------------------------------------

  const kinds = new Set();
  const evidence = new Set();
  let attention = false;

  const fits = (model, words) => {
    if (attention && !model.attention) return false;
    if (!words.every((word) => model.text.includes(word))) return false;
    if (!kinds.size && !evidence.size) return true;
    return model.cells.some(
      (cell) =>
        cell.dataset.k &&
        (!kinds.size || kinds.has(cell.dataset.k)) &&
        (!evidence.size || evidence.has(cell.dataset.r)),
    );
  };

  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const model of models) {
      model.shown = fits(model, words);
      model.row.hidden = !model.shown;
    }
    shown = order.filter((model) => model.shown);
    const count = (those) =>
      those.filter((one) => !("service" in one.row.dataset)).length.toLocaleString("en");
    const all = count(models);
    const of = deployments > 1 ? `, in ${deployments.toLocaleString("en")} deployments` : "";
    find("#count").textContent =
      shown.length === models.length
        ? `${all} model${all === "1" ? "" : "s"}${of}`
        : `${count(shown)} of ${all} models`;
    find("#empty").hidden = shown.length > 0;
    picture?.draw();
    if (!body.contains(document.activeElement)) setFocused(shown[0]?.cells[0] ?? null);
  };

  const toggle = (button, set, value) => {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    if (on) set.add(value);
    else set.delete(value);
    filter();
  };
  for (const button of document.querySelectorAll(".legend button[data-k]")) {
    button.addEventListener("click", () => toggle(button, kinds, button.dataset.k));
  }
  for (const button of document.querySelectorAll(".legend button[data-r]")) {
    button.addEventListener("click", () => toggle(button, evidence, button.dataset.r));
  }
  find("#attention")?.addEventListener("click", (event) => {
    attention = !attention;
    event.currentTarget.setAttribute("aria-pressed", String(attention));
    filter();
  });
  search.addEventListener("input", filter);
  find("#order").addEventListener("change", (event) => {
    order = [...models];
    if (event.target.value === "name") {
      const key = (model) => `${model.deployment}\n${model.name}`;
      order.sort((a, b) => (key(a) < key(b) ? -1 : 1));
    }
    body.append(...order.map((model) => model.row));
    filter();
  });
  find("#theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = getComputedStyle(root).colorScheme === "dark";
    root.dataset.theme = dark ? "light" : "dark";
    picture?.draw();
  });

  // --- by keyboard -----------------------------------------------------------------------------

  let focused = null; // the one cell that Tab leads to
  const setFocused = (cell) => {
    focused?.setAttribute("tabindex", "-1");
    focused = cell;
    focused?.setAttribute("tabindex", "0");
  };
  const modelOf = (cell) => models.find((model) => model.row === cell.closest("tr"));

  const moved = (cell, key) => {
    const model = modelOf(cell);
    const place = shown.indexOf(model);
    const across = model.cells.indexOf(cell);
    const last = model.cells.length - 1;
    const page = 15;
    switch (key) {
      case "ArrowLeft": return model.cells[Math.max(across - 1, 0)];
      case "ArrowRight": return model.cells[Math.min(across + 1, last)];
      case "Home": return model.cells[0];
      case "End": return model.cells[last];
      case "ArrowUp": return shown[Math.max(place - 1, 0)].cells[across];
      case "ArrowDown": return shown[Math.min(place + 1, shown.length - 1)].cells[across];
      case "PageUp": return shown[Math.max(place - page, 0)].cells[across];
      case "PageDown": return shown[Math.min(place + page, shown.length - 1)].cells[across];
      default: return null;
    }
  };
  body.addEventListener("keydown", (event) => {
    const cell = event.target.closest("td, th");
    if (!cell || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "Enter" || event.key === " ") {
      open(cell, true);
    } else {
      const next = moved(cell, event.key);
      if (!next) return;
      setFocused(next);
      next.focus();
      if (!story.hidden) open(next, false);
    }
    event.preventDefault();
  });
  body.addEventListener("click", (event) => {
    const cell = event.target.closest("td, th");
    if (!cell || String(getSelection())) return;
    setFocused(cell);
    open(cell, true);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !story.hidden) {
      close();
    } else if (event.key === "Escape" && event.target === search) {
      search.value = "";
      filter();
    } else if (event.key === "/" && !event.target.closest("input, select")) {
      search.focus();
      search.select();
      event.preventDefault();
    }
  });

  // --- a model's story -------------------------------------------------------------------------

  const facts = (pairs) =>
    make(
      "dl",
      {},
      pairs
        .filter(([, value]) => value)
        .map(([name, value]) => [
          make("dt", {}, name),
          make("dd", {}, typeof value === "string" ? visible(value) : value),
        ]),
    );

  const folded = (title, text, opened) =>
    text
      ? make(
          "details",
          opened ? { open: "" } : {},
          make("summary", {}, title),
          make("pre", { dir: "ltr" }, visible(text)),
        )
      : null;

  const groupTable = (entry) => {
    const rows = new Map();
    const sides = [entry.groups, entry.predicted?.groups, entry.observed?.groups];
    sides.forEach((groups, side) => {
      for (const { name = "", summary = "" } of groups ?? []) {
        if (!rows.has(name)) rows.set(name, ["", "", ""]);
        rows.get(name)[side] = summary;
      }
    });
    if (!rows.size) return null;
    const head = ["instance group", "declared", "predicted", "observed"];
    return [
      make("h4", {}, "Instance groups"),
      make(
        "table",
        {},
        make("thead", {}, make("tr", {}, head.map((text) => make("th", { scope: "col" }, text)))),
        make(
          "tbody",
          {},
          [...rows].map(([name, texts]) =>
            make(
              "tr",
              {},
              make("td", {}, visible(name)),
              texts.map((text) => make("td", {}, visible(text) || "none")),
            ),
          ),
        ),
      ),
    ];
  };

  const server = (entry) => {
    const one = data.servers[entry.server];
    if (!one) return "none was asked";
    const parts = [one.description, one.run];
    if (one.image) parts.push(one.image);
    if (one.image_digest) parts.push(one.image_digest);
    if (one.driver) parts.push(`driver ${one.driver}`);
    return parts.filter(Boolean).join(" · ");
  };
  const gpus = (entry) =>
    (data.servers[entry.server]?.gpus ?? [])
      .map((gpu) => [`${gpu.id}:`, gpu.name, gpu.uuid].filter(Boolean).join(" "))
      .join(" · ");
  const job = (entry) => {
    const one = data.jobs[entry.job];
    const parts = [one.name, one.commit && `commit ${one.commit.slice(0, 12)}`, one.started];
    if (one.shard) parts.push(`shard ${one.shard}`);
    if (!one.ended) parts.push("cut off");
    return parts.filter(Boolean).join(" · ");
  };

  const sources = (entry) =>
    (entry.sources ?? []).map((one) =>
      make("div", {}, one.said ? `${one.name}: ${visible(one.said)}` : one.name),
    );

  const section = (entry, kind, here) => {
    const run = data.servers[entry.server]?.run ?? "";
    const real = run === "real run";
    const said = entry.observed?.text ?? "";
    const wrong = entry.verdict !== "proven";
    return make(
      "section",
      { "data-k": kind, class: `${real ? "real" : "rehearsal"} ${here ? "here" : ""}` },
      make(
        "h3",
        {},
        shape(kind, real),
        make("span", {}, visible(entry.hardware.label)),
        stamp(run),
        make("span", { class: "soft" }, data.kinds[kind]),
      ),
      make("p", {}, visible(entry.headline ?? "")),
      facts([
        ["predicted", entry.predicted?.summary],
        ["observed", entry.observed?.summary],
        ["Triton says", said ? make("span", { class: "said" }, visible(said)) : ""],
        ["seen in", entry.sources?.length ? make("div", {}, sources(entry)) : ""],
        ["server", server(entry)],
        ["GPUs", gpus(entry)],
        ["run", job(entry)],
      ]),
      groupTable(entry),
      folded("In full", entry.text, wrong),
      folded("From the server's log", entry.log, wrong),
    );
  };

  let reported = null; // the cell whose story is open
  const open = (cell, moveFocus) => {
    const model = modelOf(cell);
    const across = model.cells.indexOf(cell);
    reported?.removeAttribute("aria-selected");
    reported = cell;
    reported.setAttribute("aria-selected", "true");
    const numbers = (one) => (one.dataset.e ? one.dataset.e.split(" ").map(Number) : []);
    const all = model.cells.flatMap((one, place) =>
      numbers(one).map((number) => ({ entry: data.entries[number], place, kind: one.dataset.k })),
    );
    const checks = (model.row.dataset.c || "").split(" ").filter(Boolean).map((n) => data.checks[n]);
    const first = all[0]?.entry ?? checks[0];
    const config = first?.config;
    const title = make("h2", { tabindex: "-1", id: "story-title" }, make("bdi", {}, model.name));
    const button = (text, label, act) => {
      const made = make("button", { type: "button", "aria-label": label, title: label }, text);
      made.addEventListener("click", act);
      return made;
    };
    const step = (by) => () => {
      const next = shown[shown.indexOf(model) + by];
      if (next) {
        setFocused(next.cells[across]);
        open(next.cells[across], true);
      }
    };
    const say = (one) => section(one.entry, one.kind, one.place === across);
    const asked = all.filter((one) => one.place === across);
    const others = all.filter((one) => one.place !== across);
    story.replaceChildren(
      make(
        "header",
        {},
        title,
        button("↑", "previous model", step(-1)),
        button("↓", "next model", step(1)),
        button("✕", "close", () => close()),
      ),
      facts([
        ["deployment", data.several ? model.deployment : ""],
        ["declared", model.cells[1].textContent],
        ["config", config && (config.line ? `${config.path}:${config.line}` : config.path)],
        ["its hash", config?.hash?.slice(0, 16)],
      ]),
      ...asked.map(say),
      ...checks
        .filter((check) => check.verdict !== "proven")
        .map((check) =>
          make(
            "section",
            { "data-k": check.verdict === "failed" ? "failed" : "not-proven" },
            make(
              "h3",
              {},
              shape(check.verdict === "failed" ? "failed" : "not-proven", true),
              visible(check.test),
              make("span", { class: "soft" }, check.verdict),
            ),
            make("p", {}, visible(check.headline ?? "")),
            folded("In full", check.text, true),
          ),
        ),
      ...others.map(say),
    );
    story.hidden = false;
    story.setAttribute("aria-labelledby", "story-title");
    story.scrollTop = 0;
    if (moveFocus) title.focus({ preventScroll: true });
    const mark = new URLSearchParams({ model: model.name, at: String(across) });
    if (data.several) mark.set("in", model.deployment);
    history.replaceState(null, "", `#${mark}`);
    picture?.draw();
  };
  const close = () => {
    story.hidden = true;
    reported?.removeAttribute("aria-selected");
    const back = reported;
    reported = null;
    history.replaceState(null, "", location.pathname + location.search);
    picture?.draw();
    back?.focus();
  };
  const openFromAddress = () => {
    const mark = new URLSearchParams(location.hash.slice(1));
    const model = models.find(
      (one) =>
        one.name === mark.get("model") && (!mark.get("in") || one.deployment === mark.get("in")),
    );
    const cell = model?.cells[Number(mark.get("at"))] ?? model?.cells[0];
    if (!cell) return;
    setFocused(cell);
    open(cell, true);
    cell.scrollIntoView({ block: "nearest" });
  };

  // --- the picture of many models --------------------------------------------------------------

  const makePicture = () => {
    const figure = find("#picture");
    if (!figure) return null;
    const canvas = figure.querySelector("canvas");
    const tip = figure.querySelector(".tip");
    const paths = new Map(
      [...document.querySelectorAll("symbol")].map((symbol) => [
        symbol.id,
        {
          path: new Path2D(symbol.firstElementChild.getAttribute("d")),
          open: symbol.firstElementChild.getAttribute("fill") === "none",
        },
      ]),
    );
    const across = titles.map((title, place) => place).filter((place) => columns[place]);
    const size = models.length <= 300 ? 16 : models.length <= 1500 ? 12 : models.length <= 5000 ? 8 : 5;
    const label = 20;
    let perLine = 1;
    let height = 0;

    const place = (number, band) => {
      const top = band * (height + label + 8) + label;
      return [(number % perLine) * size, top + Math.floor(number / perLine) * size];
    };
    const draw = () => {
      const width = figure.clientWidth;
      const scale = window.devicePixelRatio || 1;
      perLine = Math.max(1, Math.floor(width / size));
      height = Math.ceil(models.length / perLine) * size;
      canvas.width = width * scale;
      canvas.height = across.length * (height + label + 8) * scale;
      canvas.style.height = `${across.length * (height + label + 8)}px`;
      const pen = canvas.getContext("2d");
      pen.scale(scale, scale);
      const style = getComputedStyle(document.documentElement);
      const colour = (name) => style.getPropertyValue(`--${name}`).trim();
      const colours = new Map(Object.keys(data.kinds).map((kind) => [kind, colour(kind)]));
      pen.font = `600 13px ${getComputedStyle(document.body).fontFamily}`;
      across.forEach((column, band) => {
        pen.globalAlpha = 1;
        pen.fillStyle = colour("text");
        pen.fillText(columns[column].title, 0, band * (height + label + 8) + 14);
        order.forEach((model, number) => {
          const cell = model.cells[column];
          const [x, y] = place(number, band);
          pen.globalAlpha = model.shown ? 1 : 0.13;
          const kind = cell.dataset.k;
          if (!kind) {
            pen.fillStyle = colour("line");
            pen.fillRect(x + size / 2 - 1, y + size / 2 - 1, 2, 2);
            return;
          }
          pen.fillStyle = pen.strokeStyle = colours.get(kind);
          if (data.attention.includes(kind)) {
            pen.globalAlpha *= 0.25;
            pen.fillRect(x, y, size, size);
            pen.globalAlpha *= 4;
          }
          const real = cell.dataset.r === "real";
          if (size < 7) {
            pen.fillRect(x, y, size - 1, size - 1);
            return;
          }
          pen.save();
          pen.translate(x + 1, y + 1);
          pen.scale((size - 2) / 16, (size - 2) / 16);
          pen.lineWidth = 2;
          const { path, open: isOpen } = paths.get(kind);
          if (real && !isOpen) pen.fill(path);
          pen.stroke(path);
          pen.restore();
          if (cell === reported) {
            pen.strokeStyle = colour("focus");
            pen.lineWidth = 2;
            pen.strokeRect(x - 1, y - 1, size + 1, size + 1);
          }
        });
      });
    };
    const cellAt = (event) => {
      const box = canvas.getBoundingClientRect();
      const x = Math.floor((event.clientX - box.left) / size);
      const y = event.clientY - box.top;
      const band = Math.floor(y / (height + label + 8));
      const line = Math.floor((y - band * (height + label + 8) - label) / size);
      const model = order[line * perLine + x];
      const inside = x >= 0 && x < perLine && line >= 0 && band < across.length;
      return inside && model ? [model, model.cells[across[band]]] : null;
    };
    canvas.addEventListener("mousemove", (event) => {
      const found = cellAt(event);
      tip.hidden = !found;
      if (!found) return;
      const [model, cell] = found;
      tip.textContent = `${model.name}: ${cell.textContent.trim()}`;
      const box = figure.getBoundingClientRect();
      tip.style.top = `${event.clientY - box.top + 16}px`;
      tip.style.left = `${Math.min(event.clientX - box.left + 8, box.width - 220)}px`;
    });
    canvas.addEventListener("mouseleave", () => {
      tip.hidden = true;
    });
    canvas.addEventListener("click", (event) => {
      const found = cellAt(event);
      if (!found) return;
      setFocused(found[1]);
      open(found[1], true);
      found[1].scrollIntoView({ block: "nearest" });
    });
    new ResizeObserver(() => requestAnimationFrame(draw)).observe(figure);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    matchMedia("print").addEventListener("change", draw);
    return { draw };
  };

  const picture = makePicture();
  table.setAttribute("role", "grid");
  for (const model of models) for (const cell of model.cells) cell.tabIndex = -1;
  for (const part of document.querySelectorAll("[data-needs-script]")) part.hidden = false;
  filter();
  openFromAddress();
  addEventListener("hashchange", openFromAddress);
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
})();
