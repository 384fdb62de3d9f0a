// What a picture may be compared with: the examples, as the gallery has them, so that no thumbnail is sent twice.
const gallery = document.querySelector('#gallery');
const fill = () => {
  const copies = [...gallery.querySelectorAll('button[data-example]')].map((one) => {
    const copy = one.cloneNode(true);
    copy.dataset.like = copy.dataset.example;
    delete copy.dataset.example;
    return copy;
  });
  element.querySelector('.likes')?.replaceChildren(...copies);
  mark();
};
const mark = () => {
  const shown = document.querySelector('#second [data-second]')?.dataset.second;
  element.querySelectorAll('[data-like]').forEach((one) => one.setAttribute('aria-pressed', String(one.dataset.like === shown)));
};
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-like]');
  if (button) trigger('like', { example: button.dataset.like });
});
fill();
new MutationObserver(fill).observe(gallery, { subtree: true, childList: true });
new MutationObserver(mark).observe(document.querySelector('#second'), { subtree: true, childList: true });
