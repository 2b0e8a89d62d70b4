// The page of something that goes on loads itself again, unless the reader has paused it or is in the middle of something.
(() => {
const bar = document.querySelector('.live'), button = bar.querySelector('button'), state = bar.querySelector('span');
const KEY = `rankfold paused ${location.pathname}`, RETRY = 500;
const QUIET = 2000; // milliseconds for which the reader's hand must rest
let paused = false, touched = -Infinity, pressed = false;
try { paused = sessionStorage.getItem(KEY) === 'yes'; } catch { /* a browser that keeps nothing */ }

for (const name of ['pointerdown', 'pointermove', 'keydown', 'wheel', 'touchmove'])
  addEventListener(name, () => touched = performance.now(), {capture: true, passive: true});
addEventListener('pointerdown', () => pressed = true, true);
for (const name of ['pointerup', 'pointercancel']) addEventListener(name, () => pressed = false, true);

const reading = () => !getSelection().isCollapsed || document.querySelector('.tip:not([hidden])');
const busy = () => pressed || document.hidden || performance.now() - touched < QUIET;
function tick() {
  if (paused) return;
  show();
  if (busy() || reading()) setTimeout(tick, RETRY); else location.reload();
}
const said = state.textContent;
function show() {
  const now = said + (paused ? ' (reloading is paused)' : reading() ? ' (waits while you read a value)' : '');
  if (state.textContent !== now) state.textContent = now;
  button.textContent = paused ? 'Go on reloading' : 'Pause reloading';
}
button.hidden = false;
button.addEventListener('click', () => {
  paused = !paused;
  try { sessionStorage.setItem(KEY, paused ? 'yes' : 'no'); } catch { /* holds for this load only */ }
  show();
  if (!paused) location.reload();
});
show();
setTimeout(tick, 1000 * bar.dataset.seconds);
})();
