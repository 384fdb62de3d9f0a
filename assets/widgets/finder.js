// Ask for an edit, use one that was found, or open one of its components.
element.addEventListener('click', (event) => {
  const find = event.target.closest('button[data-find]');
  if (find && find.getAttribute('aria-disabled') !== 'true') trigger('find');
  const open = event.target.closest('[data-action]');
  if (open) trigger('act', { component: Number(open.dataset.component), action: open.dataset.action, on: true });
  const use = event.target.closest('button[data-use]');
  if (use) trigger('use', { components: use.dataset.use.split(',').map(Number) });
});
// A search that broke off can be begun again.
document.addEventListener('refused', ({ detail }) => {
  if (detail === 'finder') element.querySelector('[data-find]')?.setAttribute('aria-disabled', 'false');
});
