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
// A component's page comes into sight when it is opened, not whenever it is drawn anew.
const opened = () => element.querySelector('.component')?.getAttribute('aria-label');
let shown = opened();
watch('value', () => requestAnimationFrame(() => {
  if (opened() === shown) return;
  shown = opened();
  if (shown) element.scrollIntoView({ block: 'start' });
}));
