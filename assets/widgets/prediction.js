// Undo, redo, no lever, and the release of one, or of the condition. What cannot be pressed stays focusable: a press keeps the keyboard's place.
element.addEventListener('click', (event) => {
  const step = event.target.closest('button[data-step]');
  if (step && step.getAttribute('aria-disabled') !== 'true') trigger('step', { step: step.dataset.step });
  const release = event.target.closest('.pulled li button');
  if (!release) return;
  const { component, release: action, condition } = release.dataset;
  if (condition) trigger('condition', JSON.parse(condition));
  else trigger('act', { component: Number(component), action, on: false });
  // The last one takes its own button away.
  const here = [...element.querySelectorAll('.pulled li button')];
  if (here.at(-1) === release) (here.at(-2) ?? element.querySelector('[data-step=undo]')).focus();
});
// The canvas hears of every change of the edit.
const tell = () => document.dispatchEvent(new Event('edit'));
tell();
watch('value', tell);
