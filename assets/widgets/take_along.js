// A figure is of one picture, question and edit. Where the page is about another by now, it is told to be outdated (by
// styles, which show the button that draws it anew); nothing is drawn at a press.
const look = () => {
  const of = element.querySelector('[data-of]')?.dataset.of;
  const now = document.querySelector('#prediction .prediction')?.dataset.digest;
  element.closest('#take').toggleAttribute('data-outdated', Boolean(of && now && of !== now));
};
new MutationObserver(look).observe(document.querySelector('#prediction'), { childList: true, subtree: true, attributes: true, attributeFilter: ['data-digest'] });
watch('value', () => requestAnimationFrame(look));
