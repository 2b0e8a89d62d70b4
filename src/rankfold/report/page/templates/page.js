'use strict';
(() => {
// The frame of line charts in the units of their drawing; _line_chart.py draws in the same.
const LEFT = 46, RIGHT = 346, TOP = 12, BOTTOM = 190, WIDTH = 360, APART = 46;
const SHOWN = 12; // lines in a tip

for (const table of document.querySelectorAll('table.sortable')) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, at) => head.firstElementChild.addEventListener('click', () => sort(table, heads, head, at)));
}

function sort(table, heads, head, at) {
  const sign = head.getAttribute('aria-sort') === 'ascending' ? -1 : 1;
  heads.forEach(other => other.setAttribute('aria-sort', 'none'));
  head.setAttribute('aria-sort', sign > 0 ? 'ascending' : 'descending');
  const body = table.tBodies[0];
  const keyed = [...body.rows].map(row => [row, row.cells[at].dataset.v, row.cells[at].textContent]);
  keyed.sort(([, a, aText], [, b, bText]) => {
    if (a === '' || b === '') return (a === '') - (b === '');
    if (a !== undefined && b !== undefined) return sign * (a - b);
    return sign * aText.localeCompare(bText, undefined, {numeric: true});
  });
  body.append(...keyed.map(([row]) => row));
}

const make = (name, attributes) => {
  const made = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  return made;
};
const short = value => {
  const size = Math.abs(value);
  if (size >= 1e15 || (size && size < 1e-3)) return value.toExponential(2).replace(/\.?0*e\+?/, 'e');
  for (const [unit, letter] of [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k']])
    if (size >= 1e4 && size >= unit) return +(value / unit).toPrecision(4) + letter;
  return String(+value.toPrecision(4));
};
const ticks = (low, high, log) => {
  const made = [];
  if (log) {
    const first = Math.ceil(Math.log10(low) - 1e-9), last = Math.floor(Math.log10(high) + 1e-9);
    if (last - first < 2) {
      const near = [];
      for (let p = first - 1; p <= last; p++) near.push(...[1, 2, 5].map(f => +(f * 10 ** p).toPrecision(12)));
      const inside = near.filter(y => y >= low * (1 - 1e-9) && y <= high * (1 + 1e-9));
      if (inside.length > 1) return inside;
    } else {
      for (let p = first; p <= last; p += Math.ceil((last - first + 1) / 5)) made.push(10 ** p);
      return made;
    }
  }
  const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(f => f * power).find(s => s >= rough * 0.999);
  for (let n = Math.ceil(low / step - 1e-9); n <= high / step + 1e-9; n++) made.push(+(n * step).toPrecision(12));
  return made;
};
const number = text => text === '' ? null : Number(text);

for (const figure of document.querySelectorAll('figure.chart')) {
  let chart = null; // read from its table of data when it is first used
  const plot = figure.querySelector('.plot');
  const ready = () => chart || (chart = {lines: lineChart, bars: barChart, heat: heatMap}[figure.dataset.kind](figure, plot));
  plot.addEventListener('pointermove', event => ready().move(place(plot, event), event));
  plot.addEventListener('pointerdown', event => ready().down(place(plot, event), event));
  plot.addEventListener('pointerup', event => ready().up(place(plot, event), event));
  plot.addEventListener('pointercancel', () => ready().leave());
  plot.addEventListener('pointerleave', () => ready().leave());
  plot.addEventListener('blur', () => ready().leave());
  plot.addEventListener('dblclick', () => ready().reset());
  plot.addEventListener('keydown', event => { if (ready().key(event.key)) event.preventDefault(); });
  plot.addEventListener('show', event => ready().zoom?.(...event.detail)); // place.js asks for the part that was seen
  figure.querySelector('.reset')?.addEventListener('click', () => { ready().reset(); plot.focus(); });
}

function place(plot, event) {
  const box = plot.querySelector('svg').getBoundingClientRect(), scale = WIDTH / box.width;
  return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
}

// What all charts share: the data, the tip beside the pointer, and what a screen reader is told.
function common(figure, plot) {
  const table = figure.querySelector('.data table'), svg = plot.querySelector('svg');
  const heads = [...table.tHead.rows[0].cells].map(cell => cell.textContent);
  const rows = [...table.tBodies[0].rows].map(row => [...row.cells].map(cell => cell.textContent));
  const tip = plot.querySelector('.tip'), spoken = figure.querySelector('output');
  const overlay = svg.appendChild(make('g', {}));
  return {
    heads, rows, svg, overlay,
    show(title, pairs, x, y, aloud) {
      tip.replaceChildren(title, ...pairs.slice(0, SHOWN).map(([name, value]) => {
        const line = document.createElement('div'), strong = document.createElement('b');
        strong.textContent = value;
        line.append(name, strong);
        return line;
      }));
      if (pairs.length > SHOWN) tip.append(`and ${pairs.length - SHOWN} more`);
      tip.hidden = false;
      const scale = svg.getBoundingClientRect().width / WIDTH, wide = plot.clientWidth;
      const left = x * scale + 14;
      tip.style.left = `${Math.max(0, left + tip.offsetWidth < wide ? left : Math.min(x * scale - tip.offsetWidth - 14, wide - tip.offsetWidth))}px`;
      // Above what is below the middle, and below what is above it, so that the point itself stays in sight.
      const high = svg.getBoundingClientRect().height, at = y * scale, size = tip.offsetHeight;
      const top = at < high / 2 ? Math.max(at + 10, Math.min(high * 0.8 - size, at + 60)) : Math.min(at - 10 - size, Math.max(4, at - 60 - size));
      tip.style.top = `${top}px`;
      if (aloud) spoken.textContent = [title, ...pairs.map(pair => pair.join(' '))].join(', ');
    },
    hide() { tip.hidden = true; overlay.replaceChildren(); },
  };
}

function lineChart(figure, plot) {
  const shared = common(figure, plot), {svg, overlay, heads} = shared;
  const whole = svg.dataset.domain.split(' ').map(Number), steps = svg.dataset.steps === 'y';
  const [logX, log] = ['x', 'y'].map(axis => (svg.dataset.log || '').includes(axis));
  const xs = shared.rows.map(row => Number(row[0]));
  const lines = heads.slice(1).map((_, at) => shared.rows.map(row => number(row[at + 1])));
  const paths = [...svg.querySelectorAll('.line')], marks = [...svg.querySelectorAll('.mark')];
  const reset = figure.querySelector('.reset');
  let domain = whole, at = -1, from = null;
  const scaleX = x => logX ? Math.log10(x) : x, unscaleX = x => logX ? 10 ** x : x;
  const scaleY = y => log ? Math.log10(y) : y;
  const toX = x => LEFT + (scaleX(x) - scaleX(domain[0])) / (scaleX(domain[1]) - scaleX(domain[0])) * (RIGHT - LEFT);
  const fromX = px => unscaleX(scaleX(domain[0]) + (px - LEFT) / (RIGHT - LEFT) * (scaleX(domain[1]) - scaleX(domain[0])));
  const toY = y => BOTTOM - (scaleY(y) - scaleY(domain[2])) / (scaleY(domain[3]) - scaleY(domain[2])) * (BOTTOM - TOP);
  const seen = y => y !== null && (!log || y > 0);

  function nearest(x) {
    const wanted = scaleX(fromX(x)), away = value => Math.abs(scaleX(value) - wanted);
    let best = -1;
    xs.forEach((value, place) => {
      if (value >= domain[0] && value <= domain[1] && (best < 0 || away(value) < away(xs[best]))) best = place;
    });
    return best;
  }
  function show(place, aloud) {
    if (place < 0) return;
    at = place;
    const x = toX(xs[at]), known = lines.map((line, n) => [n, line[at]]).filter(pair => seen(pair[1]));
    overlay.replaceChildren(make('path', {class: 'guide', d: `M${x} ${TOP}V${BOTTOM}`}),
      ...known.map(([n, y]) => make('circle', {class: 'here', cx: x, cy: toY(y), r: 4})));
    const pairs = lines.map((line, n) => [heads[n + 1], line[at] === null ? '-' : shared.rows[at][n + 1]]);
    shared.show(`${heads[0]} ${shared.rows[at][0]}`, pairs, x, known.length ? toY(known[0][1]) : (TOP + BOTTOM) / 2, aloud);
  }
  function zoom(low, high) {
    const inside = place => xs[place] >= low && xs[place] <= high;
    const values = lines.flatMap(line => line.filter((y, place) => inside(place) && seen(y)));
    if (!(high > low) || !values.length) return;
    let bottom = Math.min(...values), top = Math.max(...values);
    if (top <= bottom) [bottom, top] = log ? [bottom / 2, top * 2] : [bottom - (Math.abs(bottom) * 0.1 || 1), top + (Math.abs(top) * 0.1 || 1)];
    domain = [low, high, bottom, top];
    redraw();
  }
  function redraw() {
    reset.hidden = domain === whole;
    plot.dataset.seen = domain === whole ? '' : domain.slice(0, 2).join(' ');
    paths.forEach((path, n) => path.setAttribute('d', drawn(lines[n])));
    for (const mark of marks) {
      const x = Number(mark.dataset.x);
      mark.setAttribute('d', x < domain[0] || x > domain[1] ? '' : `M${toX(x)} ${TOP}V${BOTTOM}`);
    }
    const places = ticks(domain[2], domain[3], log), rows = places.map(y => {
      const text = make('text', {class: 'tick end', x: LEFT - 5, y: toY(y) + 3.5});
      text.textContent = short(y);
      return text;
    });
    const grid = make('path', {class: 'grid', d: places.map(y => `M${LEFT} ${toY(y)}H${RIGHT}`).join('')});
    svg.querySelector('.y').replaceChildren(grid, ...rows);
    let last = -1e9;
    const columns = ticks(domain[0], domain[1], logX).filter(x => toX(x) - last >= APART && (last = toX(x), true)).map(x => {
      const text = make('text', {class: 'tick middle', x: toX(x), y: BOTTOM + 15});
      text.textContent = short(x);
      return text;
    });
    svg.querySelector('.x').replaceChildren(...columns);
    shared.hide();
  }
  function drawn(line) {
    let d = '', open = false, alone = false;
    line.forEach((y, place) => {
      if (!seen(y)) { if (alone) d += 'h1.6'; open = alone = false; return; }
      const px = toX(xs[place]).toFixed(1), py = toY(y).toFixed(1);
      d += open ? (steps ? `H${px}V${py}` : `L${px} ${py}`) : `M${px} ${py}`;
      alone = !open;
      open = true;
    });
    return alone ? d + 'h1.6' : d;
  }
  const leave = () => { from = null; shared.hide(); };
  const back = () => { domain = whole; redraw(); };
  return {
    leave, zoom, reset: back,
    move([x]) {
      if (from === null) return show(nearest(x), false);
      overlay.replaceChildren(make('rect', {class: 'choice', x: Math.min(from, x), y: TOP, width: Math.abs(x - from), height: BOTTOM - TOP}));
    },
    down([x], event) {
      if (event.button) return;
      from = Math.min(RIGHT, Math.max(LEFT, x));
      plot.setPointerCapture(event.pointerId);
    },
    up([x]) {
      const start = from;
      leave();
      if (start === null || Math.abs(x - start) < 6) return show(nearest(x), false);
      const value = px => fromX(Math.min(RIGHT, Math.max(LEFT, px)));
      zoom(value(Math.min(start, x)), value(Math.max(start, x)));
    },
    key(name) {
      const first = xs.findIndex(x => x >= domain[0]), last = xs.findLastIndex(x => x <= domain[1]);
      const keep = place => Math.min(last, Math.max(first, place));
      if (name === 'ArrowRight') show(keep(at + 1), true);
      else if (name === 'ArrowLeft') show(keep(at - 1), true);
      else if (name === 'Home') show(first, true);
      else if (name === 'End') show(last, true);
      else if (name === '+' || name === '-') {
        const [low, high] = domain.map(scaleX), [start, end] = whole.map(scaleX);
        const middle = at < 0 ? (low + high) / 2 : scaleX(xs[at]), half = (high - low) / (name === '+' ? 4 : 1);
        if (name === '-' && half * 2 >= end - start) back();
        else zoom(Math.max(whole[0], unscaleX(middle - half)), Math.min(whole[1], unscaleX(middle + half)));
        if (at >= 0) show(keep(at), true);
      } else if (name === 'Escape') { back(); at = -1; }
      else return false;
      return true;
    },
  };
}

function barChart(figure, plot) {
  const shared = common(figure, plot), {overlay, heads, rows} = shared;
  const [top, high, count] = shared.svg.dataset.rows.split(' ').map(Number);
  let at = -1;
  function show(place, aloud) {
    if (place < 0 || place >= count) return shared.hide();
    at = place;
    overlay.replaceChildren(make('rect', {class: 'here', x: 1, y: top + high * at, width: WIDTH - 2, height: high}));
    shared.show(rows[at][0], heads.slice(1).map((name, n) => [name, rows[at][n + 1] || '-']), 112, top + high * (at + 0.5), aloud);
  }
  const move = ([, y]) => show(Math.floor((y - top) / high), false);
  return {
    move, down: move, up() {}, leave: shared.hide, reset() {},
    key(name) {
      const next = {ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: count - 1}[name];
      if (next === undefined) { if (name === 'Escape') shared.hide(); return false; }
      show(Math.min(count - 1, Math.max(0, next)), true);
      return true;
    },
  };
}

function heatMap(figure, plot) {
  const shared = common(figure, plot), {overlay, heads, rows} = shared;
  const [left, top, wide, high] = shared.svg.dataset.cells.split(' ').map(Number);
  const columns = heads.length - 1;
  let row = -1, column = -1;
  function show(y, x, aloud) {
    if (y < 0 || y >= rows.length || x < 0 || x >= columns) return shared.hide();
    [row, column] = [y, x];
    overlay.replaceChildren(make('rect', {class: 'here', x: left + wide * x, y: top + high * y, width: wide, height: high}));
    shared.show(rows[y][0], [[`${heads[0].split('\\').pop().trim()} ${heads[x + 1]}`, rows[y][x + 1] || '-']],
      left + wide * (x + 0.5), top + high * (y + 0.5), aloud);
  }
  const move = ([x, y]) => show(Math.floor((y - top) / high), Math.floor((x - left) / wide), false);
  return {
    move, down: move, up() {}, leave: shared.hide, reset() {},
    key(name) {
      const step = {ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1]}[name];
      if (!step) { if (name === 'Escape') shared.hide(); return false; }
      const keep = (value, count) => Math.min(count - 1, Math.max(0, value));
      show(keep(row + step[0], rows.length), keep(column + step[1], columns), true);
      return true;
    },
  };
}
})();
