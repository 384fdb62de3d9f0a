// A page that was opened while its own setup is loading follows that; a press on the button asks that setup.
element.addEventListener('click', (event) => {
  if (event.target.closest('button[data-take-ready]')) trigger('take');
});
const follow = () => { if (element.querySelector('[data-loading]')) trigger('follow'); };
requestAnimationFrame(follow);
document.addEventListener('refused', ({ detail }) => { if (detail === 'opening') setTimeout(follow, 4000); });
