// Components are searched for while one types: after a pause, or at once by Enter or an example. Python drops what comes
// late by `moment`.
let asked = '', waiting;
const box = () => document.querySelector('#words-for :is(textarea, input)');
const ask = () => {
  clearTimeout(waiting);
  asked = box().value;
  trigger('ask', { words: asked, moment: performance.now() });
};
document.addEventListener('input', (event) => {
  if (event.target !== box()) return;
  clearTimeout(waiting);
  if (event.target.value !== asked) waiting = setTimeout(ask, 300);
});
document.addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && event.target === box()) ask();
}, true);
element.addEventListener('click', (event) => {
  const example = event.target.closest('[data-ask]');
  if (!example) return;
  box().value = example.dataset.ask;
  box().dispatchEvent(new Event('input', { bubbles: true }));  // Gradio reads the box by it
  ask();
});
// What the keeper puts back into the box is asked anew: the server knows of no search then.
document.addEventListener('brought', () => { asked = ''; }, true);
