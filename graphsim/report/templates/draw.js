/* What report.html and the pages of `graphsim view` draw with. */
function ink(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }

/* A Plotly figure into an element, in the page's colours; a promise of the drawn element. */
function draw(element, figure, options = {}) {
  figure.layout.font = { color: ink("--ink"), family: "system-ui, sans-serif", size: 12 };
  return Plotly.newPlot(element, figure.data, figure.layout, { responsive: true, displayModeBar: false, ...options });
}

/* Grey pixels, base64 in data-pixels, onto a canvas. */
function paint(canvas) {
  const bytes = atob(canvas.dataset.pixels), context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  for (let i = 0; i < bytes.length; i++) image.data.set([bytes.charCodeAt(i), bytes.charCodeAt(i), bytes.charCodeAt(i), 255], 4 * i);
  context.putImageData(image, 0, 0);
}
