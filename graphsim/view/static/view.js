"use strict";
/* The pages of `graphsim view`. What is shown stands in the address behind "#": a page, and what is chosen on it. */

const content = document.querySelector("main"), nav = document.querySelector("nav");
let subject = null, turn = 0;

/* Elements. Text is only ever set as text. */
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.filter(child => child !== null && child !== undefined).map(child => child instanceof Node ? child : String(child)));
  return element;
}
const number = value => value === null || value === undefined ? "-" : value.toLocaleString("en");
/* Plotly reads some HTML in its labels. */
const plain = text => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;");

async function get(path, parameters = {}) {
  const response = await fetch(`api/${path}?${new URLSearchParams(parameters)}`);
  const body = response.headers.get("content-type").includes("json") ? await response.json() : { error: await response.text() };
  if (!response.ok) throw new Error(body.error);
  return body;
}

/* ---- Addresses: #/page?name=value, of a sweep's point #/point/KEY/page?name=value */
function address() {
  const [path, query] = (location.hash.slice(1) || "/").split("?");
  const parts = path.split("/").filter(part => part).map(decodeURIComponent);
  const point = parts[0] === "point" ? parts[1] : null;
  return { point, run: point ?? "run", page: parts[point === null ? 0 : 2] ?? "", asked: Object.fromEntries(new URLSearchParams(query)) };
}
function to(page, asked = {}, point = address().point) {
  const query = new URLSearchParams(Object.entries(asked).filter(([, value]) => value !== null && value !== undefined && value !== ""));
  return `#/${point === null ? "" : `point/${point}/`}${page}${query.size ? `?${query}` : ""}`;
}
const go = (page, asked) => { location.hash = to(page, asked); };
/* What changed on the page itself goes to the address without drawing anew. */
const note = (page, asked) => history.replaceState(null, "", to(page, asked));
const link = (text, page, asked) => h("a", { href: to(page, asked) }, text);

/* ---- Pictures */
const BARE = { margin: { l: 10, r: 10, t: 10, b: 10 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, hovermode: "closest" };
const GRID = { gridcolor: "rgba(128,128,128,0.25)", zerolinecolor: "rgba(128,128,128,0.4)" };
function plotted(label, height) { return h("div", { class: "plot", tabindex: 0, role: "figure", "aria-label": label, style: `height:${height}px` }); }
async function figure(run, name, label) {
  const made = await get(`run/${run}/figure`, { name }), plot = plotted(label, made.layout.height ?? 400);
  return { element: h("section", {}, h("h2", {}, label), plot), draw: () => draw(plot, made) };
}
/* + and - zoom, arrows move, while the picture has the focus. */
function keyed(element, vertical) {
  element.addEventListener("keydown", event => {
    const layout = element._fullLayout, zoom = { "+": 0.6, "=": 0.6, "-": 1 / 0.6 }[event.key];
    const move = { ArrowLeft: [-0.25, 0], ArrowRight: [0.25, 0], ArrowUp: [0, -0.25], ArrowDown: [0, 0.25] }[event.key];
    if (!layout || (!zoom && !move) || event.ctrlKey || event.metaKey || event.altKey) return;
    const update = {};
    for (const [axis, step] of [["xaxis", move?.[0]], ["yaxis", move?.[1]]]) {
      if (axis === "yaxis" && !vertical) continue;
      const [low, high] = layout[axis].range, middle = (low + high) / 2;
      const forward = axis === "yaxis" ? Math.abs(high - low) : high - low;
      update[`${axis}.range`] = zoom ? [middle + (low - middle) * zoom, middle + (high - middle) * zoom] : [low + step * forward, high + step * forward];
    }
    event.preventDefault();
    Plotly.relayout(element, update);
  });
}
function later(wait, work) { let timer; return (...given) => { clearTimeout(timer); timer = setTimeout(() => work(...given), wait); }; }

function table(heads, rows, chosen = () => false) {
  return h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, ...heads.map(head => h("th", { scope: "col" }, head)))),
    h("tbody", {}, ...rows.map((row, i) => h("tr", { class: chosen(i) ? "chosen" : null }, ...row.map(cell => h("td", { class: typeof cell === "string" && cell.length > 24 ? "words" : null }, cell)))))));
}
function facts(pairs) { return h("dl", {}, ...pairs.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])); }
function tiles(list) {
  return h("div", { class: "tiles" }, ...list.map(tile => h("div", { class: "tile" }, tile.name, h("b", {}, tile.value), h("span", { class: "soft" }, tile.note), " ",
    tile.kind ? h("span", { class: `tag ${tile.kind.slice(0, 3)}` }, tile.kind) : null)));
}

/* ---- The run */
async function overview(run, asked, main) {
  const seen = await get(`run/${run}/overview`);
  const labels = { graph: "Layers of the graph", waves: "Waveforms", loads: "How busy nodes and links are", pipelining: "Samples on their way through the layers", confusion: "Labels and predictions",
    damage: "What faults do to the answers", origins: "Where what faults do begins" };
  const shown = await Promise.all(Object.keys(labels).filter(name => seen.figures.includes(name)).map(name => figure(run, name, labels[name])));
  main.replaceChildren(h("p", { class: "soft" }, `${number(seen.actors)} actors, ${number(seen.edges)} edges.`), tiles(seen.tiles),
    ...shown.map(one => one.element), seen.command ? h("section", {}, h("h2", {}, "Do it again"), h("pre", {}, seen.command)) : "");
  await Promise.all(shown.map(one => one.draw()));
  return seen.title;
}

function nameOf(group, local) {
  const index = [];
  for (const extent of [...group.shape].reverse()) { index.unshift(local % extent); local = Math.floor(local / extent); }
  return index.length ? `${group.name}[${index.join(",")}]` : group.name;
}

async function graphPage(run, asked, main) {
  const [graph, seen] = await Promise.all([get(`run/${run}/graph`), get(`run/${run}/overview`)]);
  const shade = asked.shade ?? (seen.folded ? "tick" : "inputs");
  const shades = { node: "node", tick: "tick of its first firing", inputs: "number of inputs" };
  const element = plotted("The graph: layers as blocks, actors as cells. Plus and minus zoom, arrows move.", 640);
  const find = h("input", { name: "actor", list: "groups", placeholder: "dense[17]", value: asked.actor ?? "", "aria-label": "Actor" });
  const select = h("select", { onchange: event => go("graph", { ...asked, shade: event.target.value }) },
    ...Object.entries(shades).filter(([key]) => seen.folded || key === "inputs").map(([key, text]) => h("option", { value: key, selected: key === shade ? "" : null }, text)));
  const side = h("aside", {}, h("p", {}, "Zoom in on a layer until its actors are apart, and click one; or name one above."));
  main.replaceChildren(h("form", { class: "bar", onsubmit: event => { event.preventDefault(); go("graph", { ...asked, actor: find.value.trim() }); } },
    h("label", {}, "actor", find), h("datalist", { id: "groups" }, ...graph.groups.map(group => h("option", { value: nameOf(group, 0) }))), h("button", {}, "Find"),
    h("label", {}, "coloured by", select), h("button", { type: "button", onclick: () => Plotly.relayout(element, whole) }, "Whole graph")),
  h("div", { class: "split" }, element, side));

  const right = Math.max(...graph.groups.map(g => g.x + g.cell * g.columns)), low = Math.min(...graph.groups.map(g => g.y)) - 2, high = Math.max(...graph.groups.map(g => g.y + g.cell * g.rows)) + 1;
  const whole = { "xaxis.range": [-1, right + 1], "yaxis.range": [high, low] };
  const tileOf = (i, row, rowEnd, column, columnEnd) => get(`run/${run}/tile`, { group: i, shade, row, row_end: rowEnd, column, column_end: columnEnd });
  const cells = await Promise.all(graph.groups.map((g, i) => tileOf(i, 0, g.rows, 0, g.columns)));
  const values = cells.flatMap(cell => cell.values.flat()).filter(value => value !== null);
  const range = { zmin: values.reduce((a, b) => Math.min(a, b), Infinity), zmax: values.reduce((a, b) => Math.max(a, b), -Infinity) };
  /* Pixels that a unit of the picture takes: cells have gaps where they are wide enough, names as many letters as fit. */
  let scale = 1;
  const gap = (g, cell) => { const wide = g.cell * cell.step * scale > 5 ? 1 : 0; return { xgap: wide, ygap: wide }; };
  const labels = () => graph.groups.map((g, i) => {
    const letters = Math.floor((g.cell * g.columns + 4) * scale / 6), text = `${g.name} (${number(g.size)})`;
    return { x: middle(g)[0], y: g.y - 0.2, text: letters < 3 ? "" : plain(text.length > letters ? `${text.slice(0, letters - 1)}…` : text), showarrow: false, yanchor: "bottom", font: { size: 11 } };
  });
  const trace = (g, cell) => ({
    type: "heatmap", z: cell.values, ...range, showscale: false, colorscale: shade === "node" ? "Portland" : "Viridis", hoverongaps: false,
    x0: g.x + (cell.column + cell.step / 2) * g.cell, dx: g.cell * cell.step, y0: g.y + (cell.row + cell.step / 2) * g.cell, dy: g.cell * cell.step,
    text: cell.values.map((line, r) => line.map((_, c) => plain(nameOf(g, (cell.row + r * cell.step) * g.columns + cell.column + c * cell.step)) + (cell.step > 1 ? " ..." : ""))),
    hovertemplate: `%{text}<br>${shades[shade]} %{z}<extra></extra>`, ...gap(g, cell),
  });
  const middle = g => [g.x + g.cell * g.columns / 2, g.y + g.cell * g.rows / 2];
  const lines = { type: "scatter", mode: "lines", hoverinfo: "skip", line: { color: "rgba(128,128,128,0.45)", width: 2 }, x: [], y: [] };
  for (const c of graph.channels) {
    const [a, b] = [graph.groups[c.src], graph.groups[c.dst]];
    lines.x.push(a.x + a.cell * a.columns, b.x, null); lines.y.push(middle(a)[1], middle(b)[1], null);
  }
  const chosen = asked.actor ? await get(`run/${run}/actor`, { name: asked.actor }).catch(error => ({ error: error.message })) : null;
  const wires = (list, colour) => ({ type: "scatter", mode: "lines", hoverinfo: "skip", line: { color: colour, width: 1 },
    x: list.flatMap(e => [e.x, chosen.x, null]), y: list.flatMap(e => [e.y, chosen.y, null]) });
  const marked = chosen && !chosen.error ? [wires(chosen.inputs, "rgba(80,140,220,0.55)"), wires(chosen.consumers, "rgba(220,130,60,0.7)"),
    { type: "scatter", mode: "markers", x: [chosen.x], y: [chosen.y], hoverinfo: "skip", marker: { size: 13, color: "rgba(0,0,0,0)", line: { width: 3, color: "#e11" } } }] : [];
  const layout = {
    ...BARE, dragmode: "pan", xaxis: { visible: false, range: whole["xaxis.range"] }, yaxis: { visible: false, range: whole["yaxis.range"], scaleanchor: "x" },
  };
  scale = Math.min(element.clientWidth / (right + 2), element.clientHeight / (high - low));
  layout.annotations = labels();
  await draw(element, { data: [lines, ...cells.map((cell, i) => trace(graph.groups[i], cell)), ...marked], layout }, { scrollZoom: true });
  keyed(element, true);
  element.on("plotly_click", event => {
    const at = event.points.find(point => point.data.type === "heatmap");
    if (!at) return;
    const g = graph.groups[at.curveNumber - 1], local = Math.floor((at.y - g.y) / g.cell) * g.columns + Math.floor((at.x - g.x) / g.cell);
    if (local < g.size) go("graph", { ...asked, actor: nameOf(g, local) });
  });
  /* Blocks of which cells are drawn together are drawn finer where one comes near. */
  const finer = later(150, async changed => {
    if (!Object.keys(changed).some(key => key.includes("axis"))) return;
    const [left, right] = element._fullLayout.xaxis.range, [bottom, top] = element._fullLayout.yaxis.range;
    scale = element._fullLayout.xaxis._length / (right - left);
    await Plotly.relayout(element, { annotations: labels() });
    await Plotly.restyle(element, { xgap: cells.map((cell, i) => gap(graph.groups[i], cell).xgap), ygap: cells.map((cell, i) => gap(graph.groups[i], cell).ygap) }, cells.map((_, i) => i + 1));
    for (const [i, g] of graph.groups.entries()) {
      if (cells[i].step === 1 && cells[i].values.length === g.rows) continue;
      const part = [Math.floor((top - g.y) / g.cell), Math.ceil((bottom - g.y) / g.cell), Math.floor((left - g.x) / g.cell), Math.ceil((right - g.x) / g.cell)];
      const [r0, r1, c0, c1] = [Math.max(0, part[0]), Math.min(g.rows, part[1]), Math.max(0, part[2]), Math.min(g.columns, part[3])];
      if (r0 >= r1 || c0 >= c1) continue;
      cells[i] = await tileOf(i, r0, r1, c0, c1);
      const drawn = trace(g, cells[i]);
      await Plotly.restyle(element, { z: [drawn.z], text: [drawn.text], x0: drawn.x0, dx: drawn.dx, y0: drawn.y0, dy: drawn.dy, xgap: drawn.xgap, ygap: drawn.ygap }, [i + 1]);
    }
    element.dataset.finer = String(Number(element.dataset.finer ?? 0) + 1);
  });
  element.on("plotly_relayout", finer);
  if (chosen?.error) side.replaceChildren(h("p", { class: "error", role: "alert" }, chosen.error));
  else if (chosen) side.replaceChildren(...actorPanel(chosen, seen, () => {
    const g = graph.groups[chosen.group], reach = Math.max(g.cell * 8, 0.5);
    Plotly.relayout(element, { "xaxis.range": [chosen.x - reach, chosen.x + reach], "yaxis.range": [chosen.y + reach, chosen.y - reach] });
  }));
  return `${seen.title}: ${asked.actor ?? "graph"}`;
}

function actorPanel(actor, seen, zoom) {
  const listed = (title, list, total, more) => total ? [h("h3", {}, `${title}: ${number(total)}`),
    table(more ? ["actor", "weight"] : ["actor"], list.map(e => [link(e.actor, "graph", { actor: e.actor }), ...(more ? [e.weight === null ? "-" : e.weight.toPrecision(9)] : [])])),
    total > list.length ? h("p", { class: "soft" }, `the first ${list.length}`) : null] : [];
  const firing = actor.firing;
  return [h("h2", {}, actor.actor), h("button", { type: "button", onclick: zoom }, "Zoom to it"), " ",
    firing ? link("Follow its token", "time", { actor: actor.actor }) : null,
    facts([["id", number(actor.id)], ["op", actor.op], ["activation", actor.activation], ["fires per sample", actor.firings_per_sample],
      ...Object.entries(actor.params).map(([role, value]) => [role, Number(value.toPrecision(9))]), ...(actor.truth ? [["truth table", actor.truth]] : []),
      ["work", Object.entries(actor.work).map(([unit, count]) => `${count} ${unit}`).join(", ") || "none"],
      ...(firing ? [["node", link(firing.node, "machine", { node: firing.node })], ["ticks", link(`${number(firing.start_tick)} to ${number(firing.end_tick)}`, "time", { begin: firing.start_tick, end: Math.max(firing.end_tick, firing.start_tick + 1) })]] : [])]),
    ...listed("Inputs", actor.inputs, actor.input_count, true), ...listed("Read by", actor.consumers, actor.consumer_count, false)].filter(one => one !== null);
}

async function machinePage(run, asked, main) {
  const [machine, seen] = await Promise.all([get(`run/${run}/machine`), get(`run/${run}/overview`)]);
  const element = plotted("The machine: nodes and links, coloured by how busy they are.", 620), period = machine.period;
  const busy = node => node.busy / period, load = link => link.capacity ? link.frames / link.capacity : 0;
  const xs = machine.nodes.map(n => n.x), ys = machine.nodes.map(n => n.y);
  const spread = Math.max(Math.max(...xs) - Math.min(...xs), Math.max(...ys) - Math.min(...ys)) || 1, off = 0.012 * spread;
  const steps = 10, colour = share => `hsl(${Math.round(220 - 220 * Math.min(1, share))} 75% 50%)`;
  const bundles = Array.from({ length: steps + 1 }, () => ({ x: [], y: [] })), middles = { x: [], y: [], text: [] };
  for (const one of machine.links) {
    const [a, b] = [machine.nodes[one.src], machine.nodes[one.dst]], length = Math.hypot(b.x - a.x, b.y - a.y) || 1;
    const [dx, dy] = [-(b.y - a.y) / length * off, (b.x - a.x) / length * off], bundle = bundles[Math.ceil(load(one) * steps)];
    bundle.x.push(a.x + dx, b.x + dx, null); bundle.y.push(a.y + dy, b.y + dy, null);
    middles.x.push((2 * a.x + 3 * b.x) / 5 + dx); middles.y.push((2 * a.y + 3 * b.y) / 5 + dy);
    middles.text.push(`${plain(one.name)}<br>${number(one.frames)} of ${number(one.capacity)} frames, ${(100 * load(one)).toFixed(1)} %<br>latency ${one.latency}, ${one.bits} bits`);
  }
  const data = bundles.map((bundle, i) => ({ type: "scatter", mode: "lines", ...bundle, hoverinfo: "skip", line: { color: i ? colour(i / steps) : "rgba(128,128,128,0.3)", width: i ? 2.5 : 1 } }));
  data.push({ type: "scatter", mode: "markers", ...middles, hovertemplate: "%{text}<extra></extra>", marker: { size: 6, color: "rgba(128,128,128,0.35)" } });
  data.push({
    type: "scatter", mode: machine.nodes.length <= 80 ? "markers+text" : "markers", x: xs, y: ys, text: machine.nodes.map(n => plain(n.name)), textposition: "bottom center",
    customdata: machine.nodes.map(n => `${plain(n.name)}, ${n.kind}${n.host ? ", host" : ""}<br>${(100 * busy(n)).toFixed(1)} % busy<br>${number(n.actors)} actors<br>${number(n.bytes)} of ${number(n.memory)} bytes`),
    hovertemplate: "%{customdata}<extra></extra>",
    marker: { size: machine.nodes.map(n => n.name === asked.node ? 30 : 20), symbol: machine.nodes.map(n => n.kind === "switch" ? "diamond" : "circle"), color: machine.nodes.map(n => colour(busy(n))), line: { width: machine.nodes.map(n => n.host || n.name === asked.node ? 3 : 0), color: ink("--ink") } },
  });
  const side = h("aside", {}, h("p", {}, "Click a node. Blue is idle, red is busy in every tick of the period; the host has a rim."));
  const order = machine.nodes.map((_, i) => i).sort((a, b) => machine.nodes[b].busy - machine.nodes[a].busy || a - b).slice(0, 200);
  main.replaceChildren(h("div", { class: "split" }, element, side), h("h2", {}, "Nodes, busiest first"),
    table(["node", "busy", "actors", "bytes", "of"], order.map(i => machine.nodes[i]).map(n => [link(n.name, "machine", { node: n.name }), `${(100 * busy(n)).toFixed(1)} %`, number(n.actors), number(n.bytes), number(n.memory)]), i => machine.nodes[order[i]].name === asked.node));
  await draw(element, { data, layout: { ...BARE, dragmode: "pan", xaxis: { visible: false }, yaxis: { visible: false, autorange: "reversed", scaleanchor: "x" } } }, { scrollZoom: true });
  keyed(element, true);
  element.on("plotly_click", event => { const at = event.points.find(point => point.curveNumber === data.length - 1); if (at) go("machine", { node: machine.nodes[at.pointNumber].name }); });
  if (asked.node) {
    const found = await get(`run/${run}/node`, { name: asked.node }), own = machine.nodes.findIndex(n => n.name === asked.node), node = machine.nodes[own];
    side.replaceChildren(h("h2", {}, node.name), facts([["kind", node.kind + (node.host ? ", host" : "")], ["busy", `${number(node.busy)} of ${number(period)} ticks`], ["memory", `${number(node.bytes)} of ${number(node.memory)} bytes`]]),
      ...found.groups.flatMap(group => [h("h3", {}, `${group.group}: ${number(group.actors)}`), h("p", {}, ...group.first.flatMap((name, i) => [i ? ", " : "", link(name, "graph", { actor: name })]), group.actors > group.first.length ? ", ..." : "")]),
      h("h3", {}, "Links"), table(["link", "frames", "load"], machine.links.filter(l => l.src === own || l.dst === own).map(l => [l.name, number(l.frames), `${(100 * load(l)).toFixed(1)} %`])));
  }
  return `${seen.title}: ${asked.node ?? "machine"}`;
}

async function timePage(run, asked, main) {
  const seen = await get(`run/${run}/overview`), sample = Number(asked.sample ?? 0);
  const timesOf = (begin, end) => asked.actor ? get(`run/${run}/times/of`, { begin, end, name: asked.actor, iteration: sample }) : get(`run/${run}/times`, { begin, end });
  const life = asked.actor ? await get(`run/${run}/follow`, { name: asked.actor, iteration: sample }) : null;
  const spans = life ? life.steps.flatMap(s => [s.fires.from, s.fires.until, ...s.way.map(hop => hop.there_from)]) : [];
  let begin, end;
  if (asked.begin !== undefined) { begin = Number(asked.begin); end = Number(asked.end ?? begin + 1); }
  else if (life) { const pad = Math.ceil((Math.max(...spans) - Math.min(...spans)) / 20) + 1; begin = Math.max(0, Math.min(...spans) - pad); end = Math.max(...spans) + pad; }
  let times = begin === undefined ? await timesOf(0, 1).then(one => timesOf(0, 2 * one.period)) : await timesOf(begin, end);
  ({ begin, end } = times);
  const rows = times.rows.map(row => row.name), element = plotted("Calendars: what every node and link does, tick by tick. Plus and minus zoom, arrows move.", 140 + 18 * rows.length);
  const bars = found => found.groups.map((group, g) => {
    const own = found.bars.filter(bar => bar.group === g), flat = key => own.flatMap(bar => bar[key]);
    const from = flat("from"), until = flat("until");
    return { type: "bar", orientation: "h", name: plain(group.name), y: own.flatMap(bar => bar.from.map(() => bar.row)), base: from, x: until.map((u, i) => u - from[i]), customdata: until.map((u, i) => [from[i], u]),
      marker: { color: group.colour, line: { width: 0 } }, hovertemplate: `%{y}: ${plain(group.name)}<br>ticks %{customdata[0]} to %{customdata[1]}<extra></extra>` };
  });
  const way = life ? wayOf(life) : [];
  const layout = {
    ...BARE, showlegend: true, legend: { orientation: "h", y: 1.01, yanchor: "bottom" }, barmode: "overlay", bargap: 0.25, margin: { l: 110, r: 20, t: 30, b: 45 }, dragmode: "pan",
    xaxis: { ...GRID, title: { text: "tick (simulated)" }, range: [begin, end] }, yaxis: { ...GRID, range: [rows.length - 0.5, -0.5], categoryorder: "array", categoryarray: rows, fixedrange: true, automargin: true },
    shapes: periods(begin, end, times.period),
  };
  const actor = h("input", { name: "actor", value: asked.actor ?? "", placeholder: "dense[17]" }), which = h("input", { name: "sample", type: "number", min: 0, value: sample }), tick = h("input", { name: "tick", type: "number", min: 0, value: begin });
  main.replaceChildren(h("form", { class: "bar", onsubmit: event => {
    event.preventDefault();
    const jumped = Number(tick.value) !== begin ? { begin: tick.value, end: Number(tick.value) + Math.max(1, end - begin) } : {};
    go("time", { actor: actor.value.trim(), sample: actor.value.trim() ? which.value : "", ...jumped });
  } }, h("label", {}, "follow the token of", actor), h("label", {}, "sample", which), h("label", {}, "from tick", tick), h("button", {}, "Show")),
  h("p", { class: "soft" }, `A sample leaves every ${number(times.period)} ticks. ${left(times.left_out)}`), element, life ? lifeTable(life) : "");
  await draw(element, { data: [...bars(times), ...way], layout }, { scrollZoom: true });
  keyed(element, false);
  element.on("plotly_relayout", later(150, async changed => {
    if (!("xaxis.range[0]" in changed || "xaxis.range" in changed)) return;
    const [low, high] = element._fullLayout.xaxis.range;
    begin = Math.max(0, Math.floor(low)); end = Math.max(begin + 1, Math.ceil(high));
    times = await timesOf(begin, end);
    await Plotly.react(element, [...bars(times), ...way], { ...element.layout, shapes: periods(begin, end, times.period) }, { responsive: true, displayModeBar: false, scrollZoom: true });
    note("time", { actor: asked.actor, sample: asked.actor ? sample : "", begin, end });
    element.dataset.finer = String(Number(element.dataset.finer ?? 0) + 1);
  }));
  return `${seen.title}: ${asked.actor ? `the token of ${asked.actor}` : "time"}`;
}
const left = out => [["nodes", out.nodes], ["links", out.links]].filter(([, count]) => count > 0).map(([what, count]) => `${number(count)} ${what} that are less busy are left out.`).join(" ");
function periods(begin, end, period) {
  const found = [];
  for (let n = Math.ceil(begin / period); n * period < end && found.length < 60; n++) found.push({ type: "line", xref: "x", yref: "paper", x0: n * period, x1: n * period, y0: 0, y1: 1, line: { width: 1, dash: "dot", color: "grey" } });
  return found;
}
/* The way of a token, and of those that it becomes, over the bars. */
function wayOf(life) {
  const points = life.steps.flatMap(s => [[s.node, s.fires.from, `${s.actor} fires`], [s.node, s.fires.until, `token of ${s.actor}`],
    ...s.way.flatMap(hop => [[hop.link, hop.sent_from, `token of ${s.actor} leaves`], [hop.link, hop.there_from, `token of ${s.actor} is there`]])]);
  return [{ type: "scatter", mode: "lines+markers", name: "the token", y: points.map(p => p[0]), x: points.map(p => p[1]), text: points.map(p => plain(p[2])), hovertemplate: "tick %{x}: %{text}<extra></extra>", line: { color: "#e11", width: 2 }, marker: { size: 7, color: "#e11" } }];
}
function lifeTable(life) {
  return h("section", {}, h("h2", {}, `From source to sink, sample ${life.iteration}`),
    h("p", { class: "soft" }, "Backwards each token is the one that was waited for; forwards it goes to the firing that reads it first."),
    table(["token of", "node", "fires in ticks", "goes on over", "is read by", "follow"], life.steps.map(s => [
      link(s.actor, "graph", { actor: s.actor }), link(s.node, "machine", { node: s.node }), `${number(s.fires.from)} to ${number(s.fires.until)}`,
      s.way.length ? s.way.map(hop => `${hop.link} (tick ${number(hop.sent_from)})`).join(", ") : "stays",
      s.readers.length ? h("span", {}, ...s.readers.slice(0, 3).flatMap((reader, i) => [i ? ", " : "", link(reader.actor, "time", { actor: reader.actor, sample: reader.iteration })]), s.readers.length > 3 ? ` and ${number(s.readers.length - 3)} more` : "") : "nobody",
      link("this", "time", { actor: s.actor, sample: life.iteration })]), i => life.steps[i].followed));
}

async function agreementPage(run, asked, main) {
  const seen = await get(`run/${run}/overview`), agreement = seen.agreement, evaluated = seen.evaluated;
  if (evaluated) { main.replaceChildren(h("p", { class: evaluated.differ ? "bad" : "good" }, `${number(evaluated.differ)} of ${number(evaluated.checked)} values of gates, registers and outputs differ from an independent evaluation.`)); return `${seen.title}: agreement`; }
  if (!agreement || !agreement.layers) { main.replaceChildren(h("p", {}, "This run was not compared with a reference.")); return seen.title; }
  const labels = { agreement: "Error over bound, by layer", ulps: "Differences in units in the last place" };
  const shown = await Promise.all(Object.keys(labels).filter(name => seen.figures.includes(name)).map(name => figure(run, name, labels[name])));
  main.replaceChildren(h("p", { class: agreement.neurons_outside_bound ? "bad" : "good" }, `${number(agreement.neurons_outside_bound)} of ${number(agreement.neurons_checked)} neuron values lie outside their rounding bounds.`),
    table(["layer", "reference values judged", "own values judged", "outside", "max |difference|", "max |error| / bound"], agreement.layers.map(layer => [layer.name, layer.checked ? number(layer.checked) : "-", number(layer.checked_own), number(layer.outside),
      layer.max_difference === null ? "-" : layer.max_difference.toPrecision(3), typeof layer.max_error_over_bound === "number" ? layer.max_error_over_bound.toFixed(3) : layer.max_error_over_bound])),
    ...shown.map(one => one.element));
  await Promise.all(shown.map(one => one.draw()));
  return `${seen.title}: agreement`;
}

async function samplesPage(run, asked, main) {
  const [seen, wrong] = await Promise.all([get(`run/${run}/overview`), get(`run/${run}/wrong`)]);
  const missing = asked.sample !== undefined && !wrong.some(one => String(one.sample) === asked.sample);
  main.replaceChildren(missing ? h("p", { class: "error" }, `Sample ${asked.sample} is not among these.`) : "",
    h("p", {}, wrong.length ? `Samples whose class is not their label; at most the first 60 are kept: ${wrong.length}.` : "No sample is wrong here."),
    h("div", { class: "digits" }, ...wrong.map(one => h("figure", { id: `sample-${one.sample}`, class: String(one.sample) === asked.sample ? "chosen" : null },
      h("canvas", { width: one.width, height: one.height, "data-pixels": one.pixels, role: "img", "aria-label": `sample ${one.sample}` }), h("br"), link(`#${one.sample}`, "samples", { sample: one.sample }), ": ", h("b", {}, one.predicted), `, is ${one.label}`))));
  for (const canvas of main.querySelectorAll("canvas")) paint(canvas);
  main.querySelector("figure.chosen")?.scrollIntoView({ block: "center" });
  return `${seen.title}: wrong samples`;
}

/* ---- The sweep */
const MEASURES = { nodes: "nodes", nodes_used: "nodes used", links: "links", period: "period, ticks", bound: "bound, ticks", latency: "latency, ticks", memory: "fullest node, bytes", link_load: "busiest link, share" };
function holds(row, text) {
  const match = /^\s*(\w+)\s*(<=|>=|<|>|=)\s*([0-9.]+)\s*$/.exec(text);
  if (!match || !(match[1] in MEASURES)) return true;
  const [value, limit] = [row[match[1]], Number(match[3])];
  return { "<": value < limit, ">": value > limit, "<=": value <= limit, ">=": value >= limit, "=": value === limit }[match[2]];
}
async function sweepPage(asked, main) {
  if (subject.rows.every(row => row.faulty_accuracy != null)) MEASURES.faulty_accuracy = "right with faults, share";
  const x = asked.x in MEASURES ? asked.x : "nodes", y = asked.y in MEASURES ? asked.y : "period", where = asked.where ?? "";
  const rows = subject.rows.filter(row => where.split(" and ").every(text => holds(row, text)));
  const choose = (axis, now) => h("select", { onchange: event => go("", { ...asked, [axis]: event.target.value }) }, ...Object.entries(MEASURES).map(([key, text]) => h("option", { value: key, selected: key === now ? "" : null }, text)));
  const filter = h("input", { name: "where", value: where, placeholder: "latency < 5000 and nodes <= 16", size: 34 });
  const scatter = plotted("All points by two measures; dominated ones are grey.", 460), parallel = plotted("Parallel coordinates: a line per point.", 380);
  const front = rows.filter(row => row.front);
  main.replaceChildren(h("form", { class: "bar", onsubmit: event => { event.preventDefault(); go("", { ...asked, where: filter.value.trim() }); } },
    h("label", {}, "across", choose("x", x)), h("label", {}, "up", choose("y", y)), h("label", {}, "only where", filter), h("button", {}, "Apply")),
  h("p", { class: "soft" }, `${number(front.length)} of ${number(rows.length)} points are on the front: no other is better in one objective without being worse in another. Click a point to look into its run.`),
  scatter, parallel, h("h2", {}, "The front"),
  table(["point", "model", ...Object.values(MEASURES), "bottleneck"], front.slice(0, 300).map(row => [h("a", { href: `#/point/${row.key}` }, row.machine), `${row.model.split("/").pop()}, ${row.folded}`,
    ...Object.keys(MEASURES).map(key => key === "link_load" || key === "faulty_accuracy" ? `${(100 * row[key]).toFixed(1)} %` : number(row[key])), row.bottleneck])));
  const text = row => [`${plain(row.machine)}, ${plain(row.folded)}`, ...Object.entries(MEASURES).map(([key, what]) => `${what}: ${number(row[key])}`), plain(row.bottleneck)].join("<br>");
  const sets = [[rows.filter(row => !row.front), "dominated", "rgba(128,128,128,0.45)", 7], [front, "front", "#2b7fd0", 11]];
  await draw(scatter, {
    data: sets.map(([list, name, colour, size]) => ({ type: "scatter", mode: "markers", name, x: list.map(r => r[x]), y: list.map(r => r[y]), text: list.map(text), customdata: list.map(r => r.key), hovertemplate: "%{text}<extra></extra>", marker: { color: colour, size } })),
    layout: { ...BARE, showlegend: true, legend: { orientation: "h", y: 1.02, yanchor: "bottom" }, margin: { l: 80, r: 20, t: 20, b: 50 }, xaxis: { ...GRID, title: { text: MEASURES[x] } }, yaxis: { ...GRID, title: { text: MEASURES[y] } } },
  });
  const keys = Object.keys(MEASURES), reach = keys.map(key => [Math.min(...rows.map(r => r[key])), Math.max(...rows.map(r => r[key]))]);
  const share = (row, k) => reach[k][1] > reach[k][0] ? (row[keys[k]] - reach[k][0]) / (reach[k][1] - reach[k][0]) : 0.5;
  const lines = sets.map(([list]) => list.slice(0, 2000));
  await draw(parallel, {
    data: sets.map(([, name, colour], s) => ({ type: "scatter", mode: "lines+markers", name, connectgaps: false, line: { color: colour, width: s ? 1.8 : 0.8 }, marker: { size: 6 },
      x: lines[s].flatMap(() => [...keys.keys(), null]), y: lines[s].flatMap(row => [...keys.map((_, k) => share(row, k)), null]),
      text: lines[s].flatMap(row => [...keys.map(() => text(row)), ""]), customdata: lines[s].flatMap(row => [...keys.map(() => row.key), null]), hovertemplate: "%{text}<extra></extra>" })),
    layout: { ...BARE, showlegend: true, legend: { orientation: "h", y: 1.08, yanchor: "bottom" }, margin: { l: 30, r: 30, t: 30, b: 70 }, yaxis: { visible: false, range: [-0.05, 1.05] },
      xaxis: { ...GRID, tickvals: [...keys.keys()], ticktext: keys.map((key, k) => `${MEASURES[key]}<br>${number(reach[k][0])} to ${number(reach[k][1])}`), range: [-0.4, keys.length - 0.6], zeroline: false } },
  });
  for (const element of [scatter, parallel]) element.on("plotly_click", event => { location.hash = `#/point/${event.points[0].customdata}`; });
  return `sweep in ${subject.folder}`;
}

/* ---- Which page */
const PAGES = { "": ["Overview", overview], graph: ["Graph", graphPage], machine: ["Machine", machinePage], time: ["Time", timePage], agreement: ["Agreement", agreementPage], samples: ["Samples", samplesPage] };
async function show() {
  const mine = ++turn, at = address(), isSweep = subject.kind === "sweep" && at.point === null;
  document.documentElement.dataset.ready = "no";
  const links = isSweep ? [] : Object.entries(PAGES).filter(([page]) => at.point === null || !["agreement", "samples"].includes(page))
    .filter(([page]) => page !== "samples" || !subject.circuit)
    .map(([page, [name]], i) => h("a", { href: to(page), accesskey: i + 1, "aria-current": page === at.page ? "page" : null }, name));
  if (subject.kind === "sweep") links.unshift(h("a", { href: "#/", "aria-current": isSweep ? "page" : null }, "Sweep"));
  nav.replaceChildren(...links);
  const page = h("div");  // a page that is late draws into one that is no longer shown
  content.replaceChildren(page);
  try {
    if (!(at.page in PAGES)) throw new Error(`there is no page ${at.page}`);
    const title = isSweep ? await sweepPage(at.asked, page) : await PAGES[at.page][1](at.run, at.asked, page);
    if (mine === turn) { document.title = `graphsim: ${title}`; document.querySelector("#title").textContent = title; }
  } catch (error) {
    page.replaceChildren(h("p", { class: "error", role: "alert" }, error.message));
  }
  if (mine === turn) document.documentElement.dataset.ready = "yes";
}
window.addEventListener("hashchange", show);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
get("subject").then(found => { subject = found; return show(); });
