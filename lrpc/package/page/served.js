// Modules and workers do not load from file://, so that this plain script has to say it.
if (location.protocol === "file:") document.documentElement.classList.add("unserved");
