element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-step]');
  if (button && button.getAttribute('aria-disabled') !== 'true') trigger('step', { step: button.dataset.step });
});
