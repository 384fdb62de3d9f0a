// The handle on a chart of doses is the lever: dragged, or moved by keys, it sends that lever as it is to be. What was
// suppressed is scaled from then on. As in levers.js the value is what counts, `moment` tells what is late, and the moves
// of one `gesture` are one step of undo.
const NOTCH = 0.1;
const charts = document.getElementById('doses');
let { revision, moment: sent, levers } = JSON.parse(props.value);
let gesture = Date.now();
let dragged = null;
const leversOf = (handle) => {
  const components = handle.dataset.components.split(',').map(Number);
  return levers.filter((lever) => components.includes(lever.component));
};
const words = ({ operation, strength }) => (
  operation === 'suppress' ? 'suppressed' : operation === 'set' ? `set to ${strength}` : `× ${strength}`
).replace('-', '−');
const place = () => charts.querySelectorAll('.handle').forEach((handle) => {
  const [lever] = leversOf(handle);
  if (!lever) return;
  const { unit, low, high } = handle.dataset;
  const share = (lever.strength / unit - low) / (high - low);
  handle.style.left = `${100 * Math.min(1, Math.max(0, share))}%`;
  handle.setAttribute('aria-valuenow', lever.strength);
  handle.setAttribute('aria-valuetext', words(lever));
  handle.querySelector('output').textContent = words(lever);
});
const move = (handle, dose) => {
  const { unit, low, high } = handle.dataset;
  const notched = Math.round(Math.min(high, Math.max(low, dose)) / NOTCH) * NOTCH;
  const strength = Number(Math.min(100, Math.max(-100, notched * unit)).toPrecision(6)) || 0;
  const moved = leversOf(handle).map((lever) => (
    { ...lever, operation: lever.operation === 'suppress' ? 'scale' : lever.operation, strength }
  ));
  if (!moved.length || moved[0].strength === leversOf(handle)[0].strength) return;
  levers = levers.map((lever) => moved.find(({ component }) => component === lever.component) || lever);
  sent = performance.now();
  props.value = JSON.stringify({ revision, moment: sent, gesture, levers: moved });
  trigger('pull');
  place();
};
charts.addEventListener('pointerdown', (event) => {
  dragged = event.target.closest('.handle');
  if (!dragged) return;
  event.preventDefault();
  dragged.setPointerCapture(event.pointerId);
  dragged.focus();
  gesture += 1;
});
charts.addEventListener('pointermove', (event) => {
  if (!dragged) return;
  const { left, width } = dragged.parentElement.getBoundingClientRect();
  const [low, high] = [Number(dragged.dataset.low), Number(dragged.dataset.high)];
  move(dragged, low + (high - low) * (event.clientX - left) / width);
});
for (const end of ['pointerup', 'pointercancel']) charts.addEventListener(end, () => { dragged = null; });
charts.addEventListener('keydown', (event) => {
  const handle = event.target.closest('.handle');
  const [lever] = handle ? leversOf(handle) : [];
  if (!lever) return;
  const { unit, low, high } = handle.dataset;
  const dose = lever.strength / unit;
  const wanted = {
    ArrowRight: dose + NOTCH, ArrowUp: dose + NOTCH, ArrowLeft: dose - NOTCH, ArrowDown: dose - NOTCH,
    PageUp: dose + 10 * NOTCH, PageDown: dose - 10 * NOTCH, Home: low, End: high,
  }[event.key];
  if (wanted === undefined) return;
  event.preventDefault();
  gesture += 1;
  move(handle, Number(wanted));
});
charts.addEventListener('change', (event) => {
  if (!event.target.matches('select')) return;
  charts.querySelectorAll('.of-doses').forEach((part, k) => { part.hidden = k !== event.target.selectedIndex; });
});
const summary = document.getElementById('summary');
const hear = () => {
  const message = summary.querySelector('[data-message]')?.dataset.message;
  if (!message) return;
  const told = JSON.parse(message);
  if (told.revision === revision && told.moment < sent) return;  // from before its latest move
  ({ revision, levers } = told);
  if (!dragged) place();
};
new MutationObserver(hear).observe(summary, { subtree: true, childList: true, attributes: true, attributeFilter: ['data-message'] });
hear();
