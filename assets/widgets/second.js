// The second picture: asked about, or taken away.
element.addEventListener('click', (event) => {
  const pressed = event.target.closest('button');
  if (pressed?.matches('[data-take-away]')) trigger('second', { step: 'take away' });
  if (pressed?.matches('[data-ask][aria-pressed=false]')) trigger('second', { step: 'ask' });
});
