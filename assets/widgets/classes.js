// A class is found among many while one types, after a pause or at once by Enter. What was found is asked about again
// after another edit, where it is in sight.
let waiting, of = null;
const words = () => element.querySelector('input')?.value.trim() ?? '';
const digest = () => document.querySelector('#prediction .prediction')?.dataset.digest;
const ask = () => {
  clearTimeout(waiting);
  of = digest();
  trigger('seek', { words: words() });
};
const again = () => { if (words() && element.offsetParent && of !== digest()) ask(); };
element.addEventListener('input', () => {
  clearTimeout(waiting);
  waiting = setTimeout(ask, 300);
});
element.addEventListener('submit', (event) => {
  event.preventDefault();
  ask();
});
document.addEventListener('edit', again);
new IntersectionObserver(again).observe(element);
