// A press says what it wants (not "toggle"), so a doubled or late one does no harm.
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-action]');
  if (!button) return;
  trigger('act', {
    component: Number(button.dataset.component),
    action: button.dataset.action,
    on: button.getAttribute('aria-pressed') !== 'true',
  });
});
