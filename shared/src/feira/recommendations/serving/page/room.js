// Before the first paint: room for the second version where the address names one, so that nothing moves later.
document.documentElement.classList.toggle("beside", /^[0-9A-Za-z][0-9A-Za-z._-]*$/.test(new URLSearchParams(location.search).get("beside") || ""));
