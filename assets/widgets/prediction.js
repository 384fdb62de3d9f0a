// Undo, redo, no lever, and the release of one. What cannot be pressed stays focusable: a press keeps the keyboard's place.
element.addEventListener('click', (event) => {
  const step = event.target.closest('button[data-step]');
  if (step && step.getAttribute('aria-disabled') !== 'true') trigger('step', { step: step.dataset.step });
  const release = event.target.closest('button[data-release]');
  if (!release) return;
  trigger('act', { component: Number(release.dataset.component), action: release.dataset.release, on: false });
  // The last one takes its own button away.
  const here = [...element.querySelectorAll('[data-release]')];
  if (here.at(-1) === release) (here.at(-2) ?? element.querySelector('[data-step=undo]')).focus();
});
// The canvas hears of every change of the edit.
const tell = () => document.dispatchEvent(new Event('edit'));
tell();
watch('value', tell);
