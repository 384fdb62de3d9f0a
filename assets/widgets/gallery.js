element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-example]');
  if (button) trigger('choose', { example: Number(button.dataset.example) });
});
