// The tabs whose answers take long, by their ids. One is asked where it is in sight: when it is opened, and when the page
// changed. What is still being worked out when its tab is left is ended by asking once more (LatestOnly).
const waiting = { 'components': 0, 'many': 0, 'evidence': 0 };  // questions without an answer
const TRIES = 3;
const SOON = 20;  // milliseconds: a press may change the page and open a tab
const here = () => document.querySelector('#tabs [role=tab][aria-selected=true]');
let open = here()?.dataset.tabId;
let timer = null, tries = 0;
const ask = (name) => {
  waiting[name] += 1;
  trigger(name, { tab: here().textContent.trim(), moment: performance.now() });
};
const soon = (milliseconds = SOON) => {
  clearTimeout(timer);
  timer = setTimeout(() => { if (open in waiting) ask(open); }, milliseconds);
};
const changed = () => {
  tries = 1;
  soon();
};
new MutationObserver(() => {
  const [left, now] = [open, here()?.dataset.tabId];
  if (now === left) return;
  open = now;
  if (waiting[left]) ask(left);
  changed();
}).observe(document.body, { subtree: true, attributeFilter: ['aria-selected'] });
document.addEventListener('changed', ({ detail }) => { if (detail === open) changed(); });
document.addEventListener('answered', ({ detail }) => { waiting[detail] -= 1; });
document.addEventListener('refused', ({ detail }) => {
  if (!(detail in waiting)) return;
  waiting[detail] -= 1;
  if (detail === open && tries < TRIES) soon(1000 * 2 ** tries++);
});
