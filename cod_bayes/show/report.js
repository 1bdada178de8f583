// Without this script the browser shows the same titles as its own tooltips.
(() => {
  const tip = document.getElementById("tip");
  for (const title of document.querySelectorAll("svg title")) {
    title.parentNode.dataset.tip = title.textContent;
    title.remove();
  }
  const show = (event) => {
    const mark = event.target instanceof Element && event.target.closest("[data-tip]");
    tip.hidden = !mark;
    if (!mark) return;
    tip.textContent = mark.dataset.tip;
    const box = tip.getBoundingClientRect(), room = document.documentElement.clientWidth;
    const above = event.clientY - box.height - 14;
    tip.style.left = Math.max(6, Math.min(event.clientX + 12, room - box.width - 6)) + "px";
    tip.style.top = (above < 6 ? event.clientY + 22 : above) + "px";
  };
  addEventListener("pointermove", show);
  addEventListener("pointerdown", show);
  addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });
})();
