// The edits that were tried, in this browser's storage, which a frame may be denied: then they last as long as the page.
// An edit that stays for a while becomes a line, made of what the page holds: the keeper's view state, and what the
// prediction and the evidence say of it. Steps of one drag, and other strengths of the same levers, are one line until
// something was said of it. Where a visitor wants to be asked, a result is hidden until they say what they expect.
const PLACE = `clip-levers log ${location.pathname}`;
const STAYS = 3000;  // milliseconds
const find = (selector) => document.querySelector(selector);
const all = (selector) => [...document.querySelectorAll(selector)];
const asking = element.querySelector('form');
const prediction = () => find('#prediction .prediction');
const bounds = JSON.parse(asking.dataset.bounds);
const hex = (n) => [...crypto.getRandomValues(new Uint8Array(n))].map((one) => one.toString(16).padStart(2, '0')).join('');
let memory = null, pending = null, timer = null, last = null, answered = false, from = null;

// What is kept. Every change reads it anew: another page of this browser may have written.
const kept = () => {
  let found = memory;
  try { found = JSON.parse(localStorage.getItem(PLACE)) ?? memory; } catch { /* denied, or not ours */ }
  const { lines, pictures, ask } = found ?? {};
  const ours = (one) => typeof one?.state?.picture === 'object' && one.state.picture && Array.isArray(one.state.edit?.levers ?? []);
  return { lines: Array.isArray(lines) ? lines.filter(ours) : [], pictures: { ...pictures }, ask: ask === true };
};
const keep = (log) => {
  log.lines = log.lines.slice(-bounds.lines);
  while (JSON.stringify(log.lines).length > bounds.characters) log.lines.shift();
  let room = bounds.crops;
  const used = [...new Set(log.lines.flatMap(({ state }) => [state.second?.content, state.picture.content]).reverse())].filter((content) => {
    const uri = log.pictures[content];
    if (typeof uri !== 'string' || uri.length > Math.min(bounds.crop, room)) return false;
    room -= uri.length;
    return true;
  });
  log.pictures = Object.fromEntries(used.map((content) => [content, log.pictures[content]]));
  memory = log;
  try { localStorage.setItem(PLACE, JSON.stringify({ version: 1, ...log })); } catch {
    try { localStorage.setItem(PLACE, JSON.stringify({ version: 1, ...log, pictures: {} })); } catch { /* full, or denied */ }
  }
  document.dispatchEvent(new Event('log'));
};
const change = (how) => {
  const log = kept();
  how(log);
  keep(log);
};

// What is in sight, and whether that is one edit, on one picture, with one question.
const about = ({ setup, picture, second, classes, templates, truth, wanted, against, edit }) => JSON.stringify(
  [setup, picture.content, second?.content ?? null, classes, templates, truth ?? null, wanted ?? null, against ?? null, edit ?? {}]);
const levers = ({ setup, picture, edit }) => JSON.stringify([setup, picture.content, edit?.tokens ?? null, edit?.condition ?? null,
  Array.from(edit?.levers ?? [], (one) => [one?.component, one?.operation ?? 'suppress', one?.family ?? null])]);
const present = () => {
  const held = find('#keeper')?.present?.();
  return held && { state: JSON.parse(held.state), crop: held.crop, second: held.second, observed: JSON.parse(prediction().dataset.observed || 'null') };
};
const alike = (log, state) => log.lines.findLast((one) => about(one.state) === about(state));

const commit = () => {
  clearTimeout(timer);
  const one = pending;
  [pending, answered] = [null, false];
  if (!one?.observed) return;
  const log = kept();
  if (alike(log, one.state)) return;
  const before = log.lines.at(-1);
  const said = before?.expectation || before?.verdict || before?.chance || before?.side;
  if (before && !said && !one.expectation && levers(before.state) === levers(one.state)) log.lines.pop();
  log.lines.push({ id: hex(8), time: Date.now(), expectation: one.expectation, state: one.state, observed: one.observed });
  if (one.crop) log.pictures[one.state.picture.content] = one.crop;
  if (one.second) log.pictures[one.state.second.content] = one.second;
  keep(log);
};
const reveal = () => {
  delete document.documentElement.dataset.asking;
  if (asking.hidden) return;
  asking.hidden = true;
  if (asking.contains(document.activeElement) && from?.isConnected) from.focus({ preventScroll: true });
};
const ask = () => {
  document.documentElement.dataset.asking = '';
  if (!asking.hidden) return;
  asking.hidden = false;
  asking.querySelector('input').value = '';
  from = document.activeElement;
  // Not under a hand that drags, or types a strength.
  if (!from?.matches('input')) asking.querySelector('input').focus({ preventScroll: true });
};
const changed = () => {
  const now = prediction() && present();
  if (!now) return;
  const edit = JSON.stringify(now.state.edit ?? {});
  const [fresh, log] = [edit !== last, kept()];
  last = edit;
  if (!now.state.edit?.levers?.length || find('#desk').inert || alike(log, now.state)) {
    // One that did not stay is none, unless something was expected of it.
    if (pending?.expectation) commit();
    [pending, answered] = [null, false];
    clearTimeout(timer);
    return reveal();
  }
  if (pending && about(pending.state) === about(now.state)) return asking.hidden && reveal();
  const expectation = pending?.expectation || (fresh ? draft.trim() : '');
  if (expectation) write('');
  pending = { ...now, expectation };
  if (fresh && asks && !expectation && !answered) ask();
  else if (asking.hidden || expectation) reveal();
  clearTimeout(timer);
  if (asking.hidden) timer = setTimeout(commit, STAYS);
};
// A result that is to wait is hidden before it is painted; whether it has to wait is seen when all of an answer is here.
let digest = null;
const look = () => {
  const now = prediction()?.dataset;
  if (!now || now.digest === digest) return;
  const first = digest === null;
  digest = now.digest;
  if (!first && now.edit !== '[]' && asks && !find('#desk').inert) document.documentElement.dataset.asking = '';
  setTimeout(changed);
};
const answer = (text) => {
  reveal();
  if (pending) pending.expectation = text.trim();
  answered = true;
  if (text.trim()) return commit();
  clearTimeout(timer);
  timer = setTimeout(commit, STAYS);
};
asking.addEventListener('submit', (event) => {
  event.preventDefault();
  answer(asking.querySelector('input').value);
});
asking.querySelector('[data-skip]').addEventListener('click', () => answer(''));
asking.addEventListener('keydown', (event) => { if (event.key === 'Escape') answer(''); });

// What the evidence says of the edit in sight, once it is worked out.
let gathered = '';
const gather = () => {
  const now = prediction()?.dataset.digest;
  if (!now || find('#summary [data-of]')?.dataset.of !== now || !asking.hidden) return;
  const told = [['chance', '#chance'], ['side', '#ripple']].map(
    ([name, place]) => [name, find(`${place} [data-found]`)?.dataset.found]).filter(([, found]) => found);
  const read = JSON.stringify([now, told]);
  const state = told.length && read !== gathered && present()?.state;  // a page changes often, and a log may be long
  if (!state) return;
  gathered = read;
  if (pending) commit();
  const log = kept();
  const one = alike(log, state);
  if (!one || told.every(([name, found]) => JSON.stringify(one[name]) === found)) return;
  told.forEach(([name, found]) => { one[name] = JSON.parse(found); });
  keep(log);
};

// The field stands at the top of tabs that come into the page when they are first opened, and says the same in all.
const DRAFT = `${PLACE} draft`;
const wantsToBeAsked = () => kept().ask && !document.documentElement.classList.contains('embed');
let [draft, asks] = ['', wantsToBeAsked()];
try { draft = sessionStorage.getItem(DRAFT) ?? ''; } catch { /* denied */ }
const mark = () => {
  all('[data-expected]').forEach((one) => { if (one.value !== draft) one.value = draft; });
  all('[data-ask]').forEach((one) => { if (one.checked !== asks) one.checked = asks; });
  all('[data-expected], [data-ask]').forEach((one) => { one.marked = true; });
};
const write = (text) => {
  draft = text;
  try { sessionStorage.setItem(DRAFT, text); } catch { /* a reload loses it then */ }
  mark();
};
document.addEventListener('input', (event) => { if (event.target.matches('[data-expected]')) write(event.target.value); });
document.addEventListener('submit', (event) => { if (event.target.matches('[data-expectation]')) event.preventDefault(); });
document.addEventListener('change', (event) => {
  if (event.target.matches('[data-ask]')) change((log) => { log.ask = event.target.checked; });
});
let tab = null;
// Parts of the page come after this one, and tabs when they are first opened: the whole of it is watched.
new MutationObserver(() => {
  look();
  const now = find('#tabs [role=tab][aria-selected=true]')?.dataset.tabId;
  if (now !== tab && now === 'log' && asking.hidden) commit();
  tab = now;
  if (all('[data-expected], [data-ask]').some((one) => !one.marked)) mark();  // not others: one may be under a press
  gather();
}).observe(document, { subtree: true, childList: true, attributeFilter: ['data-digest', 'data-found', 'aria-selected'] });
look();
document.addEventListener('brought', () => { last = JSON.stringify(present()?.state.edit ?? {}); });
document.addEventListener('log', () => {
  asks = wantsToBeAsked();
  mark();
});
addEventListener('storage', (event) => { if (event.key === PLACE) document.dispatchEvent(new Event('log')); });
addEventListener('pagehide', () => {
  if (pending && !asking.hidden) pending.expectation = asking.querySelector('input').value.trim();  // half said is said
  commit();
});
// For log.js and pair.js, which come when their tabs are opened. `two`: lines to be compared there.
const crops = ({ state: { picture, second } }) => {
  const here = present();
  const known = (content, mine, shown) => kept().pictures[content] ?? (mine === content ? shown : '') ?? '';
  return {
    crop: known(picture.content, here?.state.picture.content, here?.crop),
    second: second ? known(second.content, here?.state.second?.content, here?.second) : '',
  };
};
const source = (id) => {
  const one = kept().lines.find((line) => line.id === id);
  return one && { state: JSON.stringify(one.state), ...crops(one), pressed: false };
};
element.closest('#asking').log = { kept, change, present, crops, source, hex, two: null };
