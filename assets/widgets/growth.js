// An index is made in the background: how far it is is asked for while the page is looked at. Where there is more to show
// than was drawn, that is drawn: data-shown counts how often there was more, of the setup that data-setup names.
const SECONDS = 4;
let asked = -Infinity, drawn;
const look = () => {
  const told = element.querySelector('[data-shown]');
  if (!told || document.hidden) return;
  const { setup, shown, over } = told.dataset;
  if (drawn?.setup !== setup) drawn = { setup, shown };  // all was drawn with it
  if (drawn.shown !== shown) {
    drawn.shown = shown;
    trigger('grown', {});
  }
  if (over || performance.now() - asked < 1000 * SECONDS) return;
  asked = performance.now();
  trigger('growing', {});
};
setInterval(look, 1000);
document.addEventListener('refused', ({ detail }) => {
  if (detail === 'growth') setTimeout(() => { drawn.shown = null; }, 1000 * SECONDS);
});
