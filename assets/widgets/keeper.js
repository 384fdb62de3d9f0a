// What this page is about outlives it, in the browser's storage for this tab, which a frame may be denied. The crop is
// all that an answer needs of a picture; `typed` are words that no answer has read yet.
const PLACE = `clip-levers ${location.pathname}`;
const FIELDS = ['#classes textarea', '#own textarea', '#words-for :is(textarea, input)'];
const find = (selector) => document.querySelector(selector);
const ROOM = 1_900_000;  // characters of two crops that a request has room for
const crop = () => find('#crop-sheet img')?.src ?? '';
const second = () => {
  const uri = find('#second img[data-own]')?.src ?? '';
  return uri.length + crop().length > ROOM ? '' : uri;
};
const stored = () => {
  try { return JSON.parse(sessionStorage.getItem(PLACE)); } catch { return null; }
};
const tabOpen = () => find('#tabs [role=tab][aria-selected=true]')?.dataset.tabId ?? null;
let bringing = null;
let missed = null;  // what was asked for and never came, until the visitor goes on with what is in sight
let opened = null;  // what the server opened with, while the page is already about something else

// Classes that are long to write stand beside the state, which has a mark in their place.
const whole = (state) => {
  const classes = props.names && JSON.parse(props.names)[state.classes[0]];
  return classes ? { ...state, classes } : state;
};
const present = () => {
  const typed = FIELDS.map((field) => find(field)?.value ?? null);
  return { state: JSON.stringify({ ...whole(JSON.parse(props.value)), tab: tabOpen() }), crop: crop(), second: second(), typed };
};
const save = () => {
  if (bringing || missed) return;
  const here = { ...present(), search: location.search };
  try { sessionStorage.setItem(PLACE, JSON.stringify(here)); } catch { /* a reload loses it then */ }
};
// An answer may be refused, or get lost: it is asked for again, and after some tries the page is usable without it, and
// says so. Two answers to one `moment` count once (keeper.py).
const TRIES = 4;
const SILENT = 10000;  // milliseconds
let tries = 0, timer = null;
const later = (milliseconds, what) => {
  clearTimeout(timer);
  timer = setTimeout(what, milliseconds);
};
const overdue = () => (find('#said-kept progress') ? later(SILENT, overdue) : again());  // a setup that loads is told of
const ask = () => {
  tries += 1;
  later(SILENT, overdue);
  trigger('restore', element.closest('#keeper').bringing);
};
const again = () => (tries < TRIES ? ask() : giveUp());
document.addEventListener('refused', ({ detail }) => {
  if (bringing && detail === 'visit') later(tries < TRIES ? 1000 * 2 ** tries : 0, again);
});
const settle = () => {
  clearTimeout(timer);
  [bringing, missed] = [null, null];
  find('#missed [role=status]').replaceChildren();
  find('#desk').inert = false;
};
const giveUp = () => {
  const asked = bringing;
  settle();
  missed = asked;
  if (opened) [props.value, opened] = [opened, null];
  missed.beside = props.value;
  next = null;
  if (entry) follow();  // the address is that of what is in sight
  else stay(tabOpen());
  find('#missed [role=status]').append(find('#missed template').content.cloneNode(true));
};
document.addEventListener('click', ({ target }) => {
  if (missed && target.closest('#missed button')) bring(missed, missed.pressed, missed.link);
});
const bring = (from, pressed, link = '') => {
  settle();
  bringing = { ...from, pressed, link, tab: link ? new URLSearchParams(link).get('tab') ?? FIRST : JSON.parse(from.state).tab };
  find('#desk').inert = true;  // what is in sight is not what will be there
  const { state, crop, second = '' } = from;
  element.closest('#keeper').bringing = { state, crop, second, pressed, link, moment: performance.now() };
  tries = 0;
  ask();
};
const open = (tab) => {
  [...document.querySelectorAll('#tabs [role=tab]')].find((one) => one.dataset.tabId === tab)?.click();
};
document.addEventListener('brought', () => {
  if (!bringing && !missed) return;  // a second answer
  const { typed, tab, link } = bringing ?? missed;
  settle();
  opened = null;
  FIELDS.forEach((field, k) => {
    const place = find(field);
    if (!place || typeof typed[k] !== 'string') return;
    place.value = typed[k];
    place.dispatchEvent(new Event('input', { bubbles: true }));
  });
  open(embedded ? MAPPED : tab);
  if (link || !entry) stay(tab);
  else follow();
  if (next) go(next);
  find('#said-kept .notice')?.scrollIntoView({ block: 'nearest' });
});
// The log reads what is in sight, and brings back what was (log.js).
element.closest('#keeper').present = present;
document.addEventListener('bring', ({ detail }) => {
  if (!bringing) bring({ ...detail, typed: [] }, false);
});
addEventListener('pagehide', save);
document.addEventListener('visibilitychange', save);
watch('value', () => {
  // Another visit than what was in sight: the visitor's, or the late answer, which says so in a moment.
  if (missed && props.value !== missed.beside) setTimeout(() => { if (missed) settle(); save(); }, 1000);
  save();
});
// Not the name itself in quotes: Gradio would take it for an event that this script triggers.
watch(Object.keys({ lost: 0 }), () => { if (!bringing) bring(present(), true); });

// The address follows: Python writes what the page is about (its query), and here the open tab is added. What follows
// within a second, as the moves of a drag do, is one entry of the browser's history.
const FIRST = 'image';
const MAPPED = 'compare';  // where the picture shows the whole target: within another page, where no tab is in sight
const AT_ONCE = 1000;
const KEPT = 40;
const embedded = document.documentElement.classList.contains('embed');
const others = location.search.slice(1).split('&').filter((one) => one.startsWith('_'));  // Gradio's, and the Hub's
const addressed = (query, tab, more = []) => {
  const said = [query, ...(tab && tab !== FIRST ? [`tab=${tab}`] : []), ...more];
  return query ? `${location.pathname}?${said.join('&')}` : location.pathname;
};
const views = new Map();  // by query: what a link cannot carry
let entry = null;
let next = null;
const remember = () => requestAnimationFrame(() => {  // once the crop is drawn, too
  views.delete(props.query);
  views.set(props.query, present());
  if (views.size > KEPT) views.delete(views.keys().next().value);
});
const stay = (tab) => {
  remember();
  entry = { query: props.query, tab, moment: -Infinity };  // what is done next is an entry of its own
  history.replaceState({ query: entry.query, tab }, '');
};
const follow = () => {
  if (bringing || embedded || !entry) return;
  const [query, tab, moment] = [props.query, tabOpen(), performance.now()];
  if (query === entry.query && tab === entry.tab) return;
  if (query !== entry.query) remember();
  const place = { query, tab };
  const at = addressed(query, tab, others);
  if (moment - entry.moment < AT_ONCE) history.replaceState(place, '', at);
  else history.pushState(place, '', at);
  entry = { ...place, moment };
};
const go = (to) => {
  next = bringing ? to : null;
  if (bringing) return;
  const here = present();
  entry = { ...to, moment: -Infinity };
  if (to.query === props.query) return open(to.tab);
  const kept = views.get(to.query) ?? here;
  const { key, step, revision } = JSON.parse(here.state);
  const state = JSON.stringify({ ...JSON.parse(kept.state), key, step, revision });
  bring({ state, crop: kept.crop, second: kept.second, typed: [] }, false, `${to.query}&tab=${to.tab}`);
};
watch(Object.keys({ query: 0 }), follow);
// To a place on this page: Gradio's <base> would make another page of it, since the address has a query.
document.addEventListener('click', (event) => {
  const place = find(event.target.closest('a[href^="#"]')?.getAttribute('href') || null);
  if (!place) return;
  event.preventDefault();
  place.scrollIntoView();
  place.focus({ preventScroll: true });
});
addEventListener('popstate', ({ state }) => { if (state?.query) go(state); });
element.closest('#keeper').address = () => location.origin + addressed(props.query, embedded ? entry?.tab : tabOpen());

// Once Gradio has drawn the page: before, it forgets what a script writes. A link that was not followed from here wins
// over what the tab's storage holds; a reload does not.
requestAnimationFrame(() => {
  const before = stored();
  const key = [...crypto.getRandomValues(new Uint8Array(16))].map((one) => one.toString(16).padStart(2, '0')).join('');
  props.value = JSON.stringify({ ...JSON.parse(props.value), key });
  // From now on no answer is about what the server opened with.
  if (before) [opened, props.value] = [props.value, before.state];
  const linked = document.documentElement.classList.contains('linked');
  if (linked && before?.search !== location.search) bring({ ...(before ?? present()), typed: [] }, false, location.search);
  else if (before) bring(before, false);
  else stay(FIRST);
  if (embedded && !bringing) open(MAPPED);
  new MutationObserver(follow).observe(document.body, { subtree: true, attributeFilter: ['aria-selected'] });
});
