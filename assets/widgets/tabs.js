// Arrow keys move between tabs, as screen readers announce; Gradio's own tabs know Tab and Enter alone.
document.addEventListener('keydown', (event) => {
  const here = event.target.closest?.('#tabs [role=tab]');
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!here || !step) return;
  event.preventDefault();
  const all = [...here.parentElement.querySelectorAll('[role=tab]')];
  const next = all[(all.indexOf(here) + step + all.length) % all.length];
  next.focus();
  next.click();
});
// "Back" on a component's page leads to what it was opened from, which may stand far away, in another tab. On a phone
// the page stands in place of what was found, and goes.
let from;
document.addEventListener('click', (event) => {
  const pressed = event.target.closest?.('[data-action=open], [data-back]');
  const place = pressed?.closest('#rows, #canvas, #found, #levers, #finder, #failures, #promise');
  if (place) {
    const { tabId } = document.querySelector('#tabs [role=tab][aria-selected=true]').dataset;
    from = { tabId, selector: `#${place.id} button[data-action=open][data-component="${pressed.dataset.component}"]`, place: place.id };
  }
  if (!pressed?.matches('[data-back]')) return;
  document.documentElement.classList.add('component-shut');
  if (!from) return;
  document.querySelector(`#tabs [data-tab-id=${from.tabId}]`).click();
  requestAnimationFrame(() => requestAnimationFrame(() => {
    const button = document.querySelector(from.selector);
    (button || document.getElementById(from.place)).scrollIntoView({ block: 'center' });
    button?.focus({ preventScroll: true });
  }));
}, true);
