// Ask for an edit, or use one that was found.
element.addEventListener('click', (event) => {
  const find = event.target.closest('button[data-find]');
  if (find && find.getAttribute('aria-disabled') !== 'true') trigger('find');
  const use = event.target.closest('button[data-use]');
  if (use) trigger('use', { components: use.dataset.use.split(',').map(Number) });
});
