// The Log tab: drawn by the server, of what tried.js keeps in this browser. It comes into the page when it is first opened.
const find = (selector) => document.querySelector(selector);
const { kept, change, present, crops, hex } = find('#asking').log;
const inSight = () => find('#tabs [role=tab][aria-selected=true]')?.dataset.tabId === 'log';
const line = (log, id) => log.lines.find((one) => one.id === id);
let chosen = [];
let clearing = false;
const tell = (name) => {
  const address = location.origin + location.pathname;
  props.value = JSON.stringify({ lines: kept().lines, address, moment: performance.now() });
  trigger(name);
};
const show = () => tell('show');
const dress = () => {
  const { pictures } = kept();
  element.querySelectorAll('time').forEach((one) => {
    const shown = new Date(one.dateTime).toLocaleString([], { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' });
    if (one.textContent !== shown) one.textContent = shown;
  });
  element.querySelectorAll('img[data-content]').forEach((one) => {
    const uri = pictures[one.dataset.content];
    if (/^data:image\/webp;base64,/.test(uri ?? '')) [one.src, one.hidden] = [uri, false];
  });
  const here = present();
  element.querySelectorAll('[data-gone]').forEach((one) => {
    one.hidden = Boolean(pictures[one.dataset.gone]) || here?.state.picture.content === one.dataset.gone;
  });
  sure(clearing);
  choose();
};
const choose = () => {
  const boxes = [...element.querySelectorAll('[data-chosen]')];
  const ids = boxes.map((box) => box.closest('[data-line]').dataset.line);
  chosen = chosen.filter((id) => ids.includes(id)).slice(-2);
  boxes.forEach((box, k) => { box.checked = chosen.includes(ids[k]); });
  element.querySelector('[data-pair]').setAttribute('aria-disabled', String(chosen.length !== 2));
};
const bring = (one, tab) => document.dispatchEvent(new CustomEvent('bring', {
  detail: { state: JSON.stringify({ ...one.state, key: hex(16), tab: tab ?? one.state.tab }), ...crops(one) },
}));
const download = (name, text, type) => {
  const link = Object.assign(document.createElement('a'), { download: name, href: URL.createObjectURL(new Blob([text], { type })) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};
const say = (words) => {
  const place = element.querySelector('[data-trouble]');
  [place.textContent, place.hidden] = [words, !words];
};
const read = async (file) => {
  try {
    if (file.size > 4e6) throw new Error('too large');
    const { lines, pictures } = JSON.parse(await file.text());
    change((log) => {
      const known = new Set(log.lines.map((one) => one.id));
      log.lines = [...lines.filter((one) => !known.has(one.id)), ...log.lines].sort((one, other) => one.time - other.time);
      log.pictures = { ...pictures, ...log.pictures };
    });
    say('');
  } catch {
    say('That file is no log of this page. Choose one that “Save as JSON” wrote.');
  }
};
const sure = (on) => {
  clearing = on;
  element.querySelector('.sure').hidden = !on;
};
element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button || button.getAttribute('aria-disabled') === 'true') return;
  const { verdict, save, clear } = button.dataset;
  const id = button.closest('[data-line]')?.dataset.line;
  const one = id && line(kept(), id);
  if (verdict && one) {
    change((log) => { line(log, id).verdict = button.getAttribute('aria-pressed') === 'true' ? null : verdict; });
  }
  if ('pair' in button.dataset) {
    find('#asking').log.two = chosen;
    find('#tabs [role=tab][data-tab-id=compare]').click();
  }
  if ('restore' in button.dataset && one) bring(one);
  if ('check' in button.dataset && one) bring(one, 'evidence');
  if (save === 'json') download('clip-levers-log.json', JSON.stringify({ version: 1, ...kept() }, null, 1), 'application/json');
  if (save === 'markdown') {
    props.written = '';  // the same again is told again
    tell('save');
  }
  if (clear) sure(clear === 'ask');
  if (clear === 'do') change((log) => { [log.lines, log.pictures] = [[], {}]; });
});
element.addEventListener('change', (event) => {
  if (event.target.matches('[data-load]') && event.target.files[0]) {
    read(event.target.files[0]);
    event.target.value = '';
  }
  if (!event.target.matches('[data-chosen]')) return;
  const id = event.target.closest('[data-line]').dataset.line;
  chosen = [...chosen.filter((one) => one !== id), ...(event.target.checked ? [id] : [])];
  choose();
});
watch(Object.keys({ html: 0 }), dress);  // in quotes, Gradio would take it for an event
watch(Object.keys({ written: 0 }), () => { if (props.written) download('clip-levers-log.md', props.written, 'text/markdown'); });
let open = true;
new MutationObserver(() => {
  if (inSight() === open) return;
  open = !open;
  if (open) show();
}).observe(find('#tabs'), { subtree: true, attributeFilter: ['aria-selected'] });
['brought', 'log'].forEach((name) => document.addEventListener(name, () => { if (inSight()) show(); }));
show();
