// The page shows a press at once; the value (all chosen patches) is what Python reads, so skipped runs lose nothing.
let gesture = Date.now();  // one stroke is one step of undo
const cells = () => [...element.querySelectorAll('[data-patch]')];
const cls = () => element.querySelector('[data-cls]');
const say = (tokens) => {
  const total = cells().length;
  const patches = tokens && tokens.filter((token) => token > 0).length;
  const words = tokens === null ? 'all tokens' : patches ? `${patches} of ${total} patches` : 'CLS only';
  element.querySelector('output').textContent = words + (patches && tokens.includes(0) ? ' and CLS' : '');
  element.querySelector('[data-all]').setAttribute('aria-pressed', String(tokens === null));
  element.querySelector('.patches').classList.toggle('everywhere', tokens === null);
};
const send = (tokens) => {
  say(tokens);
  props.value = JSON.stringify({ ...JSON.parse(props.value), tokens, gesture, moment: performance.now() });
  trigger('pick');
};
const chosen = () => {
  const on = cells().filter((c) => c.getAttribute('aria-selected') === 'true').map((c) => Number(c.dataset.patch));
  if (cls()?.getAttribute('aria-pressed') === 'true') on.unshift(0);
  return on.length ? on : null;
};
let painting = null;
const paint = (cell) => {
  if (cell.getAttribute('aria-selected') === painting) return;
  cell.setAttribute('aria-selected', painting);
  send(chosen());
};
element.addEventListener('pointerdown', (event) => {
  const cell = event.target.closest('[data-patch]');
  if (!cell || event.pointerType === 'touch') return;
  painting = String(cell.getAttribute('aria-selected') !== 'true');
  paint(cell);
  window.addEventListener('pointerup', () => { painting = null; gesture += 1; }, { once: true });
});
element.addEventListener('pointerover', (event) => {
  const cell = event.target.closest('[data-patch]');
  if (cell && painting !== null) paint(cell);
});
element.addEventListener('click', (event) => {
  if (event.target.closest('[data-all]')) {
    cells().forEach((c) => c.setAttribute('aria-selected', 'false'));
    cls()?.setAttribute('aria-pressed', 'false');
    send(null);
    gesture += 1;
    return;
  }
  if (cls() && cls().contains(event.target)) {
    cls().setAttribute('aria-pressed', String(cls().getAttribute('aria-pressed') !== 'true'));
    send(chosen());
    gesture += 1;
    return;
  }
  const cell = event.target.closest('[data-patch]');
  // detail 0: pressed from the keyboard; a mouse was answered on pointerdown.
  if (!cell || (event.detail !== 0 && event.pointerType !== 'touch')) return;
  cell.setAttribute('aria-selected', String(cell.getAttribute('aria-selected') !== 'true'));
  send(chosen());
  gesture += 1;
});
element.addEventListener('keydown', (event) => {
  const cell = event.target.closest('[data-patch]');
  if (!cell) return;
  const cols = cell.parentElement.children.length;
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: cols, ArrowUp: -cols }[event.key];
  if (!step) return;
  event.preventDefault();
  const all = cells();
  const next = all[all.indexOf(cell) + step];
  if (!next) return;
  cell.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
});
