// A picture opens beside the tabs, with the edit in place. A confusion is looked into, or no more: a press says which.
// A condition is put on the edit, or none. What takes long is stopped, and goes on. That an edit was chosen without these pictures stands there at once: both
// sentences are on the page, and the styles show one.
element.addEventListener('click', (event) => {
  const picture = event.target.closest('button[data-picture]');
  if (picture) trigger('look', { picture: picture.dataset.picture });
  const condition = event.target.closest('button[data-condition]');
  if (condition) trigger('condition', JSON.parse(condition.dataset.condition));
  if (event.target.closest('[data-halt]')) trigger('halt', {});
  if (event.target.closest('[data-resume]')) trigger('resume', {});
  const bounds = event.target.closest('.bounds');
  if (bounds && event.target.closest('button')) {
    const on = bounds.dataset.claimed !== 'true';
    bounds.dataset.claimed = on;
    event.target.closest('button').setAttribute('aria-pressed', on);
    trigger('claim', { trial: bounds.dataset.trial, on });
  }
  const confusion = event.target.closest('button[data-truth]');
  if (!confusion) return;
  const { truth, said } = confusion.dataset;
  trigger('explain', { truth, said, on: confusion.getAttribute('aria-pressed') !== 'true' });
});
