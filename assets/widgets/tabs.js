// Arrow keys move between tabs, as screen readers announce; Gradio's own tabs know Tab and Enter alone.
document.addEventListener('keydown', (event) => {
  const here = event.target.closest?.('#tabs [role=tab]');
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!here || !step) return;
  event.preventDefault();
  const all = [...here.parentElement.querySelectorAll('[role=tab]')];
  const next = all[(all.indexOf(here) + step + all.length) % all.length];
  next.focus();
  next.click();
});
