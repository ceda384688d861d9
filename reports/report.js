// SPDX-License-Identifier: Apache-2.0
// What the script adds to a page: sorting and filtering of tables, zoom and search in flame graphs.
// It reads what the page shows and has no data of its own.
"use strict";

// --- tables: a click on a column's head sorts by it, another click reverses the order

function cellKey(row, column) {
  const cell = row.cells[column];
  const value = cell.dataset.v ?? cell.textContent.trim();
  const number = Number(value);
  return value !== "" && !Number.isNaN(number) ? number : value.toLowerCase();
}

function compare(a, b) {
  if (typeof a === typeof b) return a < b ? -1 : a > b ? 1 : 0;
  return typeof a === "number" ? 1 : -1; // what is not known is least
}

function sortBy(table, column, head) {
  const before = head.getAttribute("aria-sort");
  const numeric = head.classList.contains("n");
  const order = before === "descending" ? "ascending" : before || !numeric ? (before ? "descending" : "ascending") : "descending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1;
  const body = table.tBodies[0];
  const keyed = [...body.rows].map((row, place) => [cellKey(row, column), place, row]);
  keyed.sort((a, b) => sign * compare(a[0], b[0]) || a[1] - b[1]);
  body.append(...keyed.map((each) => each[2]));
}

function makeSortable(table) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    if (head.dataset.fixed !== undefined) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => sortBy(table, column, head));
  });
}

function makeFilter(input) {
  const rows = [...document.getElementById(input.dataset.filter).tBodies[0].rows];
  input.closest(".controls").hidden = false;
  input.addEventListener("input", () => {
    const wanted = input.value.toLowerCase();
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
}

// --- flame graphs

const ROW = 18; // px, as in render/html/flame.py
const LETTER = 6.2; // px, about: names are written where three letters fit

class Flame {
  constructor(box) {
    this.box = box;
    this.scroll = box.querySelector(".scroll");
    this.svg = box.querySelector("svg.flame");
    this.detail = box.querySelector(".detail");
    this.output = box.querySelector("output");
    this.reset = box.querySelector("[data-reset]");
    this.search = box.querySelector("input");
    this.atRest = this.detail.textContent;
    this.frames = [...this.svg.querySelectorAll("svg.f")].map((element) => this.frameOf(element));
    this.focused = this.zoomed = this.frames[0];
    this.listen();
    box.querySelector(".controls").hidden = false;
    this.writeNames();
  }

  frameOf(element) {
    const words = element.querySelector("title").textContent;
    return {
      element,
      words,
      name: words.slice(0, words.lastIndexOf("\n")),
      left: parseFloat(element.getAttribute("x")),
      width: parseFloat(element.getAttribute("width")),
      row: Math.round(parseFloat(element.getAttribute("y")) / ROW),
    };
  }

  listen() {
    this.svg.addEventListener("click", (event) => this.zoom(this.frameAt(event) ?? this.zoomed));
    this.svg.addEventListener("mousemove", (event) => this.show(this.frameAt(event)));
    this.svg.addEventListener("mouseleave", () => this.show(null));
    this.scroll.addEventListener("keydown", (event) => this.key(event));
    this.scroll.addEventListener("blur", () => this.mark(null));
    this.reset.addEventListener("click", () => this.zoom(this.frames[0]));
    this.search.addEventListener("input", () => this.find(this.search.value));
    this.search.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      this.search.value = "";
      this.find("");
    });
    window.addEventListener("resize", () => this.writeNames());
  }

  frameAt(event) {
    const element = event.target.closest("svg.f");
    return element && this.frames.find((frame) => frame.element === element);
  }

  show(frame) {
    this.detail.textContent = frame ? frame.words.replace("\n", ": ") : this.atRest;
  }

  contains(outer, inner) {
    return outer.left <= inner.left + 1e-6 && inner.left + inner.width <= outer.left + outer.width + 2e-3;
  }

  zoom(target) {
    this.zoomed = this.focused = target;
    for (const frame of this.frames) {
      const above = frame.row < target.row && this.contains(frame, target);
      const below = frame.row >= target.row && this.contains(target, frame);
      frame.element.toggleAttribute("hidden", !(above || below));
      frame.element.setAttribute("display", above || below ? "inline" : "none");
      frame.element.classList.toggle("above", above);
      const left = above ? 0 : ((frame.left - target.left) / target.width) * 100;
      const width = above ? 100 : (frame.width / target.width) * 100;
      frame.element.setAttribute("x", `${left}%`);
      frame.element.setAttribute("width", `${width}%`);
    }
    this.reset.disabled = target === this.frames[0];
    this.writeNames();
  }

  writeNames() {
    const whole = this.svg.getBoundingClientRect().width;
    for (const frame of this.frames) {
      const pixels = (parseFloat(frame.element.getAttribute("width")) / 100) * whole;
      let text = frame.element.querySelector("text");
      if (pixels >= 3 * LETTER && !text) {
        text = document.createElementNS("http://www.w3.org/2000/svg", "text");
        text.setAttribute("x", "3");
        text.setAttribute("y", "12.5");
        frame.element.append(text);
      }
      if (text) text.textContent = this.fitting(frame.name, pixels);
    }
  }

  fitting(name, pixels) {
    const letters = Math.floor((pixels - 4) / LETTER);
    if (name.length <= letters) return name;
    return letters < 3 ? "" : name.slice(0, letters - 1) + "…";
  }

  find(text) {
    const wanted = text.toLowerCase();
    const hits = this.frames.filter((frame) => wanted && frame.name.toLowerCase().includes(wanted));
    for (const frame of this.frames) frame.element.classList.toggle("hit", hits.includes(frame));
    this.box.classList.toggle("searching", wanted !== "");
    // a match below a match is part of it
    const outer = hits.filter((hit) => !hits.some((o) => o !== hit && o.row < hit.row && this.contains(o, hit)));
    const share = outer.reduce((sum, frame) => sum + frame.width, 0);
    this.output.textContent = wanted ? `${hits.length} found, ${share.toFixed(1)}% of all` : "";
  }

  key(event) {
    const visible = (frame) => frame.element.getAttribute("display") !== "none";
    const now = this.focused;
    const row = (number) => this.frames.filter((frame) => frame.row === number && visible(frame));
    const beside = row(now.row);
    const moves = {
      ArrowDown: () => row(now.row + 1).find((frame) => this.contains(now, frame)),
      ArrowUp: () => row(now.row - 1).find((frame) => this.contains(frame, now)),
      ArrowRight: () => beside[beside.indexOf(now) + 1],
      ArrowLeft: () => beside[beside.indexOf(now) - 1],
      Home: () => this.frames[0],
    };
    if (event.key === "Enter") this.zoom(now);
    else if (event.key === "Escape") this.zoom(this.frames[0]);
    else if (moves[event.key]) this.focused = moves[event.key]() ?? now;
    else return;
    event.preventDefault();
    this.mark(this.focused);
  }

  mark(frame) {
    for (const each of this.frames) each.element.classList.toggle("focused", each === frame);
    this.show(frame);
  }
}

document.querySelectorAll("table.sortable").forEach(makeSortable);
document.querySelectorAll("input[data-filter]").forEach(makeFilter);
document.querySelectorAll("[data-flame]").forEach((box) => box.querySelector("svg.flame") && new Flame(box));
document.querySelectorAll("details").forEach((each) =>
  each.addEventListener("toggle", () => window.dispatchEvent(new Event("resize"))));
document.documentElement.classList.add("scripted");
