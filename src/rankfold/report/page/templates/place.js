// A page that is loaded again shows what the reader was looking at: opened groups, sorted tables, zoomed charts, where
// it was scrolled to, and what the keyboard was on. A page that goes on changes in between, so all of it is known by name.
(() => {
const KEY = `rankfold place ${location.pathname}`;
const WORDS = {
  'details.group': node => node.querySelector('summary'),
  'details.data': node => node.closest('figure').querySelector('figcaption'),
  'table.sortable': node => node.caption,
  figure: node => node.querySelector('figcaption'),
  h2: node => node,
  '.scroll': node => node.querySelector('caption'),
};

function named(kind) {
  const found = new Map(), count = {};
  for (const node of document.querySelectorAll(kind)) {
    const words = WORDS[kind](node)?.textContent ?? node.getAttribute('aria-label');
    count[words] = (count[words] || 0) + 1;
    found.set(`${words} ${count[words]}`, node);
  }
  return found;
}
const opened = node => node.open ? 'open' : 'closed';
const all = (kind, read) => [...named(kind)].map(([name, node]) => [name, read(node)]).filter(([, value]) => value);
const KEYS = 'a[href], button, summary, [tabindex]';
// What can be reached by keyboard is counted within the figure, table or group that it is in.
const AROUND = ['figure', '.scroll', 'details.group'];

function focused() {
  const node = document.activeElement;
  if (!node?.matches(KEYS)) return null;
  for (const kind of AROUND) for (const [name, around] of named(kind))
    if (around.contains(node)) return [kind, name, [...around.querySelectorAll(KEYS)].indexOf(node)];
  return [null, null, [...document.querySelectorAll(KEYS)].indexOf(node)];
}
function focus([kind, name, at]) {
  const around = kind ? named(kind).get(name) : document;
  around?.querySelectorAll(KEYS)[at]?.focus({preventScroll: true});
}
function sorting(table) {
  const head = [...table.tHead.rows[0].cells].find(one => one.getAttribute('aria-sort') !== 'none');
  return head && [head.textContent, head.getAttribute('aria-sort')];
}
// The last heading, chart or table that begins above the middle of the window, and where it begins.
function anchor() {
  let best = null;
  for (const kind of ['h2', 'figure', 'table.sortable']) for (const [name, node] of named(kind)) {
    const top = node.getBoundingClientRect().top;
    if (node.getClientRects().length && top < innerHeight / 2 && (!best || top >= best[2])) best = [kind, name, top];
  }
  return best;
}

addEventListener('pagehide', () => {
  const place = {
    groups: all('details.group', opened), data: all('details.data', opened),
    tables: all('table.sortable', sorting), charts: all('figure', node => node.querySelector('.plot')?.dataset.seen),
    scrolls: all('.scroll', node => (node.scrollTop || node.scrollLeft) && [node.scrollTop, node.scrollLeft]),
    focus: focused(), anchor: scrollY ? anchor() : null, top: scrollY,
  };
  try { sessionStorage.setItem(KEY, JSON.stringify(place)); } catch { /* a browser that keeps nothing: the top is shown */ }
});

function restore(place) {
  for (const [kind, names] of [['details.group', place.groups], ['details.data', place.data]]) {
    const nodes = named(kind);
    for (const [name, state] of names) nodes.get(name)?.toggleAttribute('open', state === 'open');
  }
  const tables = named('table.sortable'), figures = named('figure'), scrolls = named('.scroll');
  for (const [name, [head, way]] of place.tables) {
    const found = [...tables.get(name)?.tHead.rows[0].cells ?? []].find(cell => cell.textContent === head);
    found?.firstElementChild.click();
    if (found && way === 'descending') found.firstElementChild.click();
  }
  for (const [name, seen] of place.charts)
    figures.get(name)?.querySelector('.plot')?.dispatchEvent(new CustomEvent('show', {detail: seen.split(' ').map(Number)}));
  if (place.focus) focus(place.focus);
  const scroll = () => {
    const node = place.anchor && named(place.anchor[0]).get(place.anchor[1]);
    scrollTo(scrollX, node ? scrollY + node.getBoundingClientRect().top - place.anchor[2] : place.top);
    for (const [name, [top, left]] of place.scrolls) scrolls.get(name)?.scrollTo(left, top);
  };
  scroll();
  requestAnimationFrame(() => requestAnimationFrame(scroll)); // charts have their size only once they are seen
}

let kept = null;
try { kept = JSON.parse(sessionStorage.getItem(KEY)); } catch { /* nothing is kept */ }
if (kept && performance.getEntriesByType('navigation')[0]?.type === 'reload') {
  history.scrollRestoration = 'manual';
  restore(kept);
}
})();
