// Which answer is unfolded stands on the row around them, which nothing draws anew: an answer that is worked out again
// stays as it was. On a desktop the effect is unfolded at first.
const row = element.closest('#answers');
const opened = () => row.dataset.open ?? (matchMedia('(min-width: 821px)').matches ? 'effect' : '');
const tell = () => row.querySelectorAll('[data-answer]').forEach((button) => {
  const on = String(button.dataset.answer === opened());
  if (button.getAttribute('aria-expanded') !== on) button.setAttribute('aria-expanded', on);
});
row.addEventListener('click', (event) => {
  const button = event.target.closest('[data-answer]');
  if (!button) return;
  row.dataset.open = opened() === button.dataset.answer ? '' : button.dataset.answer;
  tell();
});
new MutationObserver(tell).observe(row, { subtree: true, childList: true, attributes: true, attributeFilter: ['aria-expanded'] });
tell();
