"use strict";
// Tables and transcripts of the report. Text of models goes in as text, never as markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const PAGE = 20;
  const make = (name, text, style) => {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    if (style) element.className = style;
    return element;
  };
  const unique = (rows, field) => [...new Set(rows.map((row) => row[field]))];
  const percent = (value) => (value === null ? "–" : (100 * value).toFixed(1) + " %");

  // One select for each field of the rows that has more than one value; onChange gets the rows that are left.
  function filters(place, rows, fields, onChange, first = {}) {
    const chosen = {};
    const search = make("input");
    search.type = "search";
    search.placeholder = "search";
    search.setAttribute("aria-label", "search");
    const apply = () => {
      const word = search.value.toLowerCase();
      onChange(rows.filter((row) => Object.entries(chosen).every(([field, value]) => !value || row[field] === value)
        && (!word || [row.text, row.prompt, row.answer, row.question_id].some((text) => text && text.toLowerCase().includes(word)))));
    };
    for (const field of fields) {
      const values = unique(rows, field);
      if (values.length < 2) continue;
      const select = make("select");
      select.setAttribute("aria-label", field);
      select.append(new Option("every " + field, ""));
      for (const value of values) select.append(new Option(field === "arm" ? data.arms[value] : String(value).replaceAll("-", " "), value));
      if (values.includes(first[field])) { select.value = first[field]; chosen[field] = first[field]; }
      select.addEventListener("change", () => { chosen[field] = select.value; apply(); });
      place.append(select);
    }
    search.addEventListener("input", apply);
    place.append(search);
    apply();
  }

  function bar(value) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("class", "bar");
    svg.setAttribute("width", "64");
    svg.setAttribute("height", "8");
    const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    rect.setAttribute("width", String(64 * (value || 0)));
    rect.setAttribute("height", "8");
    svg.append(rect);
    return svg;
  }

  const table = document.getElementById("questions");
  let shown = [];
  let by = { field: "exact", down: true };
  const columns = [["arm", "arm"], ["text", "question"], ["where", "where"], ["condition", "condition"],
    ["exact", data.label + ", exact"], ["sampled", "sampled"], ["difference", "vs control"], ["n_models", "models"], ["n_samples", "answers"]];
  function drawQuestions() {
    const sign = by.down ? -1 : 1;
    const rank = (row) => (row[by.field] === null ? -2 : row[by.field]);
    const rows = [...shown].sort((a, b) => (rank(a) < rank(b) ? -sign : rank(a) > rank(b) ? sign : 0)).slice(0, 300);
    table.replaceChildren();
    const head = make("tr");
    for (const [field, title] of columns) {
      const cell = make("th");
      const button = make("button", title + (by.field === field ? (by.down ? " ↓" : " ↑") : ""));
      button.addEventListener("click", () => { by = { field, down: by.field === field ? !by.down : true }; drawQuestions(); });
      cell.append(button);
      head.append(cell);
    }
    const top = make("thead");
    top.append(head);
    const body = make("tbody");
    for (const row of rows) {
      const line = make("tr");
      line.append(make("td", data.arms[row.arm]), make("td", row.text), make("td", row.where.replaceAll("-", " ")), make("td", row.condition));
      const exact = make("td", percent(row.exact) + " ", "n");
      exact.append(bar(row.exact === null ? row.sampled : row.exact));
      const against = row.difference === null ? "–" : (row.difference < 0 ? "" : "+") + (100 * row.difference).toFixed(1) + (row.marked ? " *" : "");
      line.append(exact, make("td", percent(row.sampled), "n"), make("td", against, "n"), make("td", row.n_models, "n"), make("td", row.n_samples, "n"));
      body.append(line);
    }
    table.append(top, body);
  }
  filters(document.getElementById("question-filters"), data.questions, ["arm", "where", "condition"],
    (rows) => { shown = rows; drawQuestions(); });

  const place = document.getElementById("transcripts");
  const pager = document.getElementById("pager");
  let found = [];
  let start = 0;
  function drawTranscripts() {
    place.replaceChildren();
    for (const record of found.slice(start, start + PAGE)) {
      const card = make("article");
      const about = make("p", undefined, "about");
      about.append(make("span", record.outcome, "outcome " + (/^[a-z]+$/.test(record.outcome) ? record.outcome : "")));
      about.append(` ${data.arms[record.arm]} · seed ${record.seed} · ${record.where.replaceAll("-", " ")}`
        + (record.condition === "plain" ? "" : ` · ${record.condition}`) + ` · drawn ${record.count} ×`);
      card.append(about);
      if (record.system) card.append(make("p", record.system, "system"));
      card.append(make("p", record.prompt, "prompt"), make("p", record.answer || "(empty)", "said"));
      place.append(card);
    }
    pager.replaceChildren();
    const move = (text, by_, off) => {
      const button = make("button", text);
      button.disabled = off;
      button.addEventListener("click", () => { start += by_; drawTranscripts(); });
      return button;
    };
    const last = Math.min(start + PAGE, found.length);
    pager.append(move("← back", -PAGE, start === 0),
      make("span", found.length ? `${start + 1}–${last} of ${found.length}` : "no answers match"),
      move("more →", PAGE, last >= found.length));
  }
  filters(document.getElementById("transcript-filters"), data.transcripts, ["arm", "where", "condition", "outcome"],
    (rows) => { found = rows; start = 0; drawTranscripts(); }, { outcome: data.label });
  document.documentElement.dataset.ready = "yes";
})();
