// The dashboard's extras: live parts, ages that count on, keys, dark and light. Every page works without this file.
"use strict";
(() => {
  const body = document.body;
  const stored = (name, value) => {
    try {
      if (value === undefined) return localStorage.getItem(name);
      localStorage.setItem(name, value);
    } catch { /* storage is off */ }
    return null;
  };

  // --- ages ---------------------------------------------------------------------------------------------------------
  const told = (seconds) => {
    if (seconds < 90) return `${Math.round(seconds)} s`;
    if (seconds < 5400) return `${Math.floor(seconds / 60)} min`;
    if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
    return `${Math.floor(seconds / 86400).toLocaleString("en")} days`;
  };
  const grow = () => {
    for (const each of document.querySelectorAll("time[data-age]")) {
      const seconds = Math.max(0, (Date.now() - Date.parse(each.dateTime)) / 1000);
      const text = told(seconds);
      if (each.textContent !== text) each.textContent = text;
    }
  };

  // --- live parts ---------------------------------------------------------------------------------------------------
  const SOONEST_MS = 250, SHARE = 5, AT_LATEST_MS = 10000, AGAIN_MS = 2000, SILENT_MS = 12000;
  const SERVER_AWAY = "The dashboard's server does not answer.";
  let stream = null, refreshed = 0, took = 0, waiting = null, heard = 0, opened = 0;
  const pulse = document.getElementById("pulse"), away = document.getElementById("away");
  const show = (state, word) => {
    if (!pulse || pulse.dataset.state === state) return;
    pulse.dataset.state = state;
    pulse.querySelector("[data-word]").textContent = word;
  };
  // What somebody is about to do stays as it is under their hands: rows that move could make it another thing.
  const isBusy = (part) => {
    const focus = document.activeElement, chosen = getSelection();
    return (part.contains(focus) && focus.matches("input, select, textarea"))
      || part.querySelector("details.confirm[open], dialog[open], input[type=checkbox]:checked") !== null
      || (chosen && !chosen.isCollapsed && part.contains(chosen.anchorNode));
  };
  const KEPT = { beforeAttributeUpdated: (name, node) => !(name === "open" && node.id && node.matches("details")) };
  const draw = (page) => {
    for (const part of document.querySelectorAll("[data-live-part]")) {
      const next = page.getElementById(part.id);
      if (next && !isBusy(part)) Idiomorph.morph(part, next.innerHTML, { morphStyle: "innerHTML", callbacks: KEPT });
    }
    grow();
  };
  let asking = false;
  const refresh = async () => {
    waiting = null;
    if (!document.querySelector("[data-live-part]")) return;
    if (asking) return changed();
    asking = true;
    refreshed = Date.now();
    try {
      const answer = await fetch(location.href, { headers: { "X-B24pay-Part": "1" }, cache: "no-store", redirect: "manual" });
      if (answer.status === 401) return location.reload();
      if (answer.ok) draw(new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch {
      gone(true, SERVER_AWAY);
    } finally {
      asking = false;
      took = Date.now() - refreshed;
    }
  };
  const changed = () => {
    // A busy server is asked less often: the page takes a fifth of its time at most.
    const soonest = refreshed + Math.max(SOONEST_MS, SHARE * took);
    if (waiting === null) waiting = setTimeout(refresh, Math.max(0, soonest - Date.now()));
  };
  const gone = (is, cause) => {
    if (!away || away.hidden === !is) return;
    away.hidden = !is;
    if (!is) return changed();
    away.querySelector("[data-cause]").textContent = cause;
    const since = away.querySelector("[data-since]"), now = new Date();
    since.dateTime = now.toISOString();
    since.textContent = `at ${now.toISOString().slice(11, 19)} UTC`;
  };
  const open = () => {
    if (stream || document.hidden || !body.dataset.live) return;
    stream = new EventSource(body.dataset.live);
    heard = Date.now();
    const on = (name, act) => stream.addEventListener(name, () => { heard = Date.now(); act(); });
    on("standing", () => { show("live", "live"); gone(false); if (opened++) changed(); });
    on("change", () => { show("live", "live"); gone(false); changed(); });
    on("away", () => { show("away", "Redis away"); gone(true, "Redis does not answer."); });
    on("beat", () => undefined);
    on("over", () => location.reload());
    on("full", () => { close(); show("slow", "every 10 s"); });
    stream.onerror = () => {
      // A process that restarts closes its streams: the browser tries again by itself, unless it was refused.
      show("away", "reconnecting");
      if (stream && stream.readyState === EventSource.CLOSED) { close(); setTimeout(open, AGAIN_MS); }
    };
  };
  const close = () => { if (stream) { stream.close(); stream = null; } };
  const watch = () => {
    grow();
    if (document.hidden || !body.dataset.live) return;
    if (stream && Date.now() - heard > SILENT_MS) { close(); gone(true, SERVER_AWAY); open(); }
    if (Date.now() - refreshed > AT_LATEST_MS && away.hidden) refresh();
  };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return close();
    open();
    changed();
  });
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => { if (event.persisted) { open(); changed(); } });

  // --- a page that could not be had comes back by itself -----------------------------------------------------------
  const comesBack = async () => {
    try {
      const answer = await fetch(location.href, { method: "GET", redirect: "manual", cache: "no-store" });
      if (answer.status !== 503) return location.reload();
    } catch { /* still away */ }
    setTimeout(comesBack, 3000);
  };

  // --- dark and light ----------------------------------------------------------------------------------------------
  const root = document.documentElement;
  const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const turn = () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    stored("b24pay-theme", root.dataset.theme);
  };
  for (const each of document.querySelectorAll("[data-theme-switch]")) {
    each.hidden = false;
    each.addEventListener("click", turn);
  }

  // --- keys --------------------------------------------------------------------------------------------------------
  const keys = document.getElementById("keys");
  const help = () => { if (!keys.open) keys.showModal(); };
  for (const each of document.querySelectorAll("[data-help]")) {
    each.hidden = false;
    each.addEventListener("click", help);
  }
  const single = document.querySelector("[data-keys-switch]");
  single.checked = stored("b24pay-keys") !== "off";
  single.addEventListener("change", () => stored("b24pay-keys", single.checked ? "on" : "off"));
  const rows = () => [...document.querySelectorAll("table.data tbody tr")].filter((row) => row.querySelector("a, button, summary, input"));
  const step = (by) => {
    const all = rows();
    if (!all.length) return;
    const at = all.findIndex((row) => row.contains(document.activeElement));
    const next = all[Math.min(all.length - 1, Math.max(0, at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by))];
    next.querySelector("a, summary, button, input").focus();
  };
  let prefix = 0;
  const ACTS = {
    "?": help,
    "/": () => document.querySelector("input[type=search]")?.focus(),
    j: () => step(1),
    k: () => step(-1),
    t: turn,
    g: () => { prefix = Date.now(); },
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !single.checked || keys.open) return;
    if (event.target.matches("input, select, textarea, [contenteditable]")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (Date.now() - prefix < 1500 && event.key !== "g") {
      prefix = 0;
      const link = document.querySelector(`nav a[data-key="${CSS.escape(event.key)}"]`);
      if (link) { event.preventDefault(); link.click(); }
      return;
    }
    const act = ACTS[event.key];
    if (act) { event.preventDefault(); act(); }
  });

  // --- small things ------------------------------------------------------------------------------------------------
  document.addEventListener("click", (event) => {
    for (const each of document.querySelectorAll("details.confirm[open]")) {
      if (!each.contains(event.target)) each.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const each of document.querySelectorAll("details.confirm[open]")) {
      each.open = false;
      each.querySelector("summary").focus();
    }
  });
  const current = document.querySelector("nav [aria-current=page]");
  if (current) current.parentElement.scrollLeft = current.offsetLeft - (current.parentElement.clientWidth - current.offsetWidth) / 2;

  // --- a run: one step after the other, as long as its page is open --------------------------------------------------
  let stopped = false, underWay = false;
  const dress = (form, going) => {
    form.querySelector("[data-stop]").hidden = !going;
    form.querySelector("[data-next]").hidden = going;
  };
  const formOfRun = () => document.querySelector("#run form[data-goes-on]");
  const tellStopped = () => { formOfRun().querySelector("[data-told]").textContent = "Stopped. Go on takes up what is left."; };
  const goOn = async () => {
    const form = formOfRun();
    if (!form || stopped) return;
    dress(form, true);
    underWay = true;
    try {
      const sent = new URLSearchParams(new FormData(form));
      const answer = await fetch(form.getAttribute("action"), { method: "POST", body: sent, redirect: "manual" });
      const part = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("run");
      if (!part) throw new Error(answer.status);
      Idiomorph.morph(document.getElementById("run"), part.innerHTML, { morphStyle: "innerHTML" });
    } catch {
      underWay = false;
      dress(form, false);
      form.querySelector("[data-told]").textContent = "The last step was not answered. Nothing is half done: go on when it can be.";
      return;
    }
    underWay = false;
    const next = formOfRun();
    if (!next) return;
    dress(next, !stopped);
    if (stopped) tellStopped();
    setTimeout(goOn, Number(next.dataset.waitMs) || 20);
  };
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-stop]")) return;
    stopped = true;
    if (underWay) {
      // The step that is under way counts: going on before its answer would lose what it has changed from the sum.
      event.target.closest("[data-stop]").hidden = true;
      formOfRun().querySelector("[data-told]").textContent = "Stopping when this step has ended …";
    } else {
      dress(formOfRun(), false);
      tellStopped();
    }
  });
  goOn();

  if (body.hasAttribute("data-comes-back")) setTimeout(comesBack, 3000);
  refreshed = Date.now();
  open();
  setInterval(watch, 1000);
})();
