// Draws a page's charts with Vega over their pictures, each when it comes near the reader's view.

const draw = (place, spec, rows) =>
  window.vegaEmbed(place, { ...spec, datasets: { rows } }, {
    actions: false,
    ast: true, // expressions are interpreted: the page's policy forbids that text becomes code
    defaultStyle: false,
    logLevel: 1, // errors alone: that a board has no intervals to draw is none
    renderer: "svg",
    mode: "vega-lite",
    tooltip: { disableDefaultStyle: true },
  }).then((result) => {
    place.querySelector("svg").setAttribute("aria-hidden", "true"); // the place around it says what it shows
    place.dataset.drawn = "";
    return result;
  });

const seen = new IntersectionObserver((changes) => {
  for (const { isIntersecting, target } of changes) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    const { spec, rows } = JSON.parse(document.getElementById(target.dataset.chart).textContent);
    draw(target, spec, rows);
  }
}, { rootMargin: "300px" });
for (const place of document.querySelectorAll("[data-chart]")) seen.observe(place);
window.drawChart = draw;
