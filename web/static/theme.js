// Before anything is drawn: dark or light, where somebody chose. Without a choice the system's is taken.
"use strict";
try {
  const chosen = localStorage.getItem("b24pay-theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
} catch { /* storage is off: the system's choice it is */ }
document.documentElement.classList.add("scripted");
