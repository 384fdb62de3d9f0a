// A tour on the real parts: each step says what to do, and is over once it was done, by whatever means. Whoever comes
// for the first time is offered it, once; not where a link opens something else. `data-tour` on the page says which step
// it is at: styles ring the part that is meant.
const SEEN = 'clip-levers tour';
const find = (selector) => document.querySelector(selector);
const open = (tab) => Boolean(find(`#tabs [role=tab][data-tab-id=${tab}][aria-selected=true]`));
const edited = () => (find('#prediction [data-edit]')?.dataset.edit ?? '[]') !== '[]';
const example = () => find('#gallery button[data-example]');
const there = () => find('#canvas [data-example]')?.dataset.example === example()?.dataset.example
  && !find('#canvas [data-twin][aria-pressed=true]');
const tabOf = (name) => `#tabs [role=tab][data-tab-id=${name}]`;
const steps = {
  offer: {},
  opening: { over: () => there() && !edited() },
  look: { about: '#panel' },
  guess: { about: '#panel' },
  open: { over: () => open('attribution'), about: tabOf('attribution') },
  pull: { over: edited, about: '#rows .half.for [data-action=suppress]' },
  check: { over: () => open('evidence'), about: tabOf('evidence') },
  done: { about: '#answers' },
};
let at = null, asked = false;  // asked: for the example, which may take a while to be there
const card = () => element.querySelector('.tour');
const shown = () => card().querySelector(`[data-step=${at}]`);
const remember = () => { try { localStorage.setItem(SEEN, 'seen'); } catch { /* it is offered again */ } };
const seen = () => { try { return localStorage.getItem(SEEN) !== null; } catch { return true; } };
const calm = () => matchMedia('(prefers-reduced-motion: reduce)').matches;
const bring = (selector) => find(selector)?.scrollIntoView({ block: 'nearest', behavior: calm() ? 'auto' : 'smooth' });

const go = (step, focus = true) => {
  at = step;
  document.documentElement.toggleAttribute('data-touring', Boolean(step && step !== 'offer'));
  if (step) document.documentElement.dataset.tour = step;
  else delete document.documentElement.dataset.tour;
  card().hidden = !step;
  card().querySelectorAll('[data-step]').forEach((part) => { part.hidden = part.dataset.step !== step; });
  if (!step) return;
  const says = find('#panel .bar.best .name')?.textContent;
  card().querySelectorAll('[data-says]').forEach((place) => { place.textContent = `“${says}”`; });
  if (steps[step].about) bring(steps[step].about);
  if (focus) card().focus({ preventScroll: step !== 'offer' });
};
const next = () => {
  const names = Object.keys(steps);
  go(names[names.indexOf(at) + 1]);
  look();
};
function look() {
  if (!at) return;
  card().querySelector('.leaves').hidden = there() && !edited();
  if (steps[at].over?.()) return next();
  if (at !== 'opening' || asked) return;
  asked = true;
  example().click();
}
const start = () => {
  remember();
  asked = false;
  go('opening');
  look();
};
element.addEventListener('click', (event) => {
  const { tour, guess } = event.target.closest('button')?.dataset ?? {};
  if (tour === 'start') start();
  if (tour === 'next') next();
  if (tour === 'show') {
    bring(steps[at].about);
    find(steps[at].about)?.focus({ preventScroll: true });
  }
  if (tour === 'end') {
    remember();
    go(null);
    find('[data-take-tour]')?.focus({ preventScroll: true });
  }
  if (guess) {
    card().querySelector('[data-guessed]').textContent = guess;
    if (find('#canvas [data-base=before]').getAttribute('aria-pressed') !== 'true') find('#canvas [data-base=before]').click();
    next();
  }
});
element.addEventListener('keydown', ({ key }) => {
  if (key === 'Escape') card().querySelector('[data-step]:not([hidden]) [data-tour=end]')?.click();
});
document.addEventListener('click', ({ target }) => {
  if (!target.closest('[data-take-tour]')) return;
  go('offer');
  look();
});
document.addEventListener('edit', look);
new MutationObserver(look).observe(document.body, {
  subtree: true, attributeFilter: ['aria-selected', 'data-example', 'aria-pressed'],
});
const { classList } = document.documentElement;
if (!classList.contains('linked') && !classList.contains('embed') && !seen()) go('offer', false);
