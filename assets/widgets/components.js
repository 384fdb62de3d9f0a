// A press says what it wants (not "toggle"), so a doubled or late one does no harm. A picture opens like its button.
element.addEventListener('click', (event) => {
  const pressed = event.target.closest('[data-action]');
  if (!pressed) return;
  trigger('act', {
    component: Number(pressed.dataset.component),
    action: pressed.dataset.action,
    on: pressed.getAttribute('aria-pressed') !== 'true',
  });
});
// A component's page comes into sight when it is opened, not whenever it is drawn anew. Openings are counted, so that
// opening the one that is open counts too; the first may be over before this part is drawn, and a tab takes a moment.
// Where there is room it stands beside what was found, and scrolls by itself; else in its place, until one goes back.
let seen = 0;
const bring = (frames) => {
  const page = element.querySelector('.component');
  if (!page?.offsetParent) return frames && requestAnimationFrame(() => bring(frames - 1));
  const pane = element.closest('#opened');
  pane.scrollTop = 0;
  if (getComputedStyle(pane).position === 'sticky') pane.scrollIntoView({ block: 'nearest' });
  else page.scrollIntoView({ block: 'start' });
  page.focus({ preventScroll: true });
};
const look = () => {
  const opening = Number(element.querySelector('.component')?.dataset.opening || 0);
  if (opening <= seen) return;
  seen = opening;
  document.documentElement.classList.remove('component-shut');
  requestAnimationFrame(() => bring(120));
};
look();
watch('value', () => requestAnimationFrame(look));
// Details that somebody unfolded stay so when their row is drawn anew, as when pictures come or effects are measured.
const unfolded = new Set();
element.addEventListener('click', (event) => {
  const details = event.target.closest('summary')?.closest('.unfold');
  if (!details) return;
  const { row } = details.closest('[data-row]').dataset;
  if (details.open) unfolded.delete(row);  // after this it turns
  else unfolded.add(row);
});
const unfold = () => element.querySelectorAll('[data-row] .unfold').forEach((details) => {
  if (unfolded.has(details.closest('[data-row]').dataset.row)) details.open = true;
});
watch('value', () => requestAnimationFrame(unfold));
