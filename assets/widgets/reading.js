// Classes that have to be read first: when Python says so, their reading is asked for; it is stopped by its button.
const begin = () => {
  const asked = element.querySelector('[data-begin]');
  if (asked) trigger('read', {});
};
watch('value', begin);
document.addEventListener('refused', ({ detail }) => { if (detail === 'reading') setTimeout(begin, 4000); });
element.addEventListener('click', (event) => {
  if (event.target.closest('[data-halt]')) trigger('halt', {});
});
