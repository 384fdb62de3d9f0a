// A press says what it wants: the twin or the example itself.
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-twin]');
  if (button) trigger('twin', { on: button.getAttribute('aria-pressed') !== 'true' });
});
