element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-example]');
  if (button) trigger('choose', { example: button.dataset.example });
});
// Which example is looked at stands at the picture: the thumbnails need not be sent anew for a mark.
const mark = () => {
  const shown = document.querySelector('#canvas [data-example]')?.dataset.example;
  for (const button of element.querySelectorAll('button[data-example]')) {
    const pressed = String(button.dataset.example === shown);
    if (button.getAttribute('aria-pressed') !== pressed) button.setAttribute('aria-pressed', pressed);
  }
};
mark();
new MutationObserver(mark).observe(document, {
  subtree: true, childList: true, attributeFilter: ['data-example', 'aria-pressed'],
});
