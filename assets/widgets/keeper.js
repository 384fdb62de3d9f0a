// What this page is about outlives it, in the browser's storage for this tab, which a frame may be denied. The crop is
// all that an answer needs of a picture; `typed` are words that no answer has read yet.
const PLACE = `clip-levers ${location.pathname}`;
const FIELDS = ['#classes textarea', '#own textarea', '#words-for :is(textarea, input)'];
const find = (selector) => document.querySelector(selector);
const crop = () => find('#crop-sheet img')?.src ?? '';
const stored = () => {
  try { return JSON.parse(sessionStorage.getItem(PLACE)); } catch { return null; }
};
let bringing = null;

const present = () => {
  const tab = find('#tabs [role=tab][aria-selected=true]')?.textContent.trim() ?? null;
  const typed = FIELDS.map((field) => find(field)?.value ?? null);
  return { state: JSON.stringify({ ...JSON.parse(props.value), tab }), crop: crop(), typed };
};
const save = () => {
  if (bringing) return;
  try { sessionStorage.setItem(PLACE, JSON.stringify(present())); } catch { /* a reload loses it then */ }
};
const bring = (from, pressed) => {
  bringing = from;
  find('#desk').inert = true;  // what is in sight is not what will be there
  element.closest('#keeper').bringing = { state: from.state, crop: from.crop, pressed };
  trigger('restore', element.closest('#keeper').bringing);
};
document.addEventListener('brought', () => {
  const { state, typed } = bringing;
  bringing = null;
  find('#desk').inert = false;
  FIELDS.forEach((field, k) => {
    const place = find(field);
    if (!place || (typed[k] ?? null) === null) return;
    place.value = typed[k];
    place.dispatchEvent(new Event('input', { bubbles: true }));
  });
  const { tab } = JSON.parse(state);
  [...document.querySelectorAll('#tabs [role=tab]')].find((one) => one.textContent.trim() === tab)?.click();
  find('#said-kept .notice')?.scrollIntoView({ block: 'nearest' });
});
// The log reads what is in sight, and brings back what was (log.js).
element.closest('#keeper').present = present;
document.addEventListener('bring', ({ detail }) => {
  if (!bringing) bring({ ...detail, typed: [] }, false);
});
addEventListener('pagehide', save);
document.addEventListener('visibilitychange', save);
watch('value', save);
// Not the name itself in quotes: Gradio would take it for an event that this script triggers.
watch(Object.keys({ lost: 0 }), () => { if (!bringing) bring(present(), true); });

// Once Gradio has drawn the page: before, it forgets what a script writes.
requestAnimationFrame(() => {
  const before = stored();
  if (before) {
    props.value = before.state;  // from now on no answer is about what the server opened with
    bring(before, false);
  } else {
    const key = [...crypto.getRandomValues(new Uint8Array(16))].map((one) => one.toString(16).padStart(2, '0')).join('');
    props.value = JSON.stringify({ ...JSON.parse(props.value), key });
  }
});
