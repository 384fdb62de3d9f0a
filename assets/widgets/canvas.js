// The picture, and whatever is pointed at on it: the map of a row ([data-row], anywhere on the page) or of the whole
// target, what fires at a patch, and the patches that the edit acts on. All of it is in data-maps or on the row, so that
// pointing asks nobody. What is pointed at or focused shows while it is; what is clicked stays, until the next tab.
let data, firing, after = null;  // after: the target after the edit, and of what
let how = 'activation', base = '', pinned = null, pointed = null, focused = null, kept = null;
let painting = false, stroke = null, large = false;
let tokens = null, sent = { moment: -1, revision: -1 };  // where the edit acts; what Python was told of it last
let gesture = Date.now();  // one stroke is one step of undo
const root = () => element.querySelector('.canvas');
const find = (selector) => element.querySelector(selector);
const cells = () => [...element.querySelectorAll('[data-token]')];
const prediction = () => document.querySelector('#prediction .prediction');
const number = (value, digits = 3) => String(Number(value.toPrecision(digits))).replace('-', '−');
const signed = (value) => (Math.abs(value) < 0.005 ? '±0.00' : (value > 0 ? '+' : '−') + Math.abs(value).toFixed(2));
const tone = (value) => (Math.abs(value) < 0.005 ? '' : value > 0 ? 'for' : 'against');
const shaped = (value) => ({ for: '▲ ', against: '▼ ', '': '' })[tone(value)] + signed(value);
const put = (one, attributes) => Object.entries(attributes).forEach(([name, value]) => {
  if (one && one.getAttribute(name) !== String(value)) one.setAttribute(name, value);
});
const make = (tag, attributes, ...children) => {
  const made = document.createElement(tag);
  put(made, attributes);
  made.append(...children);
  return made;
};
const triples = (flat) => Array.from({ length: flat.length / 3 }, (_, k) => flat.slice(3 * k, 3 * k + 3));
const place = (at) => (at === 0 ? 'CLS'
  : `Row ${Math.floor((at - 1) / data.columns) + 1}, column ${((at - 1) % data.columns) + 1}`);
const byCls = (words) => (data.cls ? words : '');  // nothing is said of it where there is none
const guess = (c) => (data.labels[c] ? ` guess: “${data.labels[c]}”` : '');
const tabOpen = () => document.querySelector('#tabs [role=tab][aria-selected=true]')?.dataset.tabId;

// What is shown: a row's component first, then what was chosen for the whole picture.
const rowOf = (target) => {
  const row = target?.closest?.('[data-row]');
  return row ? { component: Number(row.dataset.row), map: row.dataset.map } : null;
};
const opened = () => {
  const page = document.querySelector('#component .component[data-row]');
  return page?.offsetParent ? rowOf(page) : null;
};
const colours = { activation: [[138, 53, 214], [58, 63, 76]], attribution: [[0, 150, 136], [226, 98, 20]] };

// A pixel a patch. Opacity is a token's share of the strongest (CLS included); negative patches are marked, too.
const paint = (values, peak, [positive, negative]) => {
  if (!data.rows) return;  // a canvas of no size cannot be drawn on
  const context = find('canvas').getContext('2d');
  const pixels = context.createImageData(data.columns, data.rows);
  const marked = cells();
  for (let k = 0; k < data.rows * data.columns; k += 1) {
    const share = Math.min(Math.abs(values[k + 1] || 0) / peak, 1);
    pixels.data.set([...(values[k + 1] < 0 ? negative : positive), share ? 255 * (0.1 + 0.8 * share ** 0.7) : 0], 4 * k);
    marked[k].classList.toggle('minus', values[k + 1] < 0 && share > 0.2);
  }
  context.putImageData(pixels, 0, 0);
};
const showComponent = ({ component, map }) => {
  const whole = data.maps[component] ? triples(data.maps[component]) : map && JSON.parse(map);
  const own = whole || firing.flatMap((all, at) => all.filter(([c]) => c === component).map(([, f, a]) => [at, f, a]));
  const at = how === 'activation' ? 1 : 2;
  const values = [];
  own.forEach((one) => { values[one[0]] = one[at]; });
  const peak = Math.max(0, ...own.map((one) => Math.abs(one[at])));
  const sum = own.reduce((total, one) => total + one[at], 0);
  paint(values, peak || 1, colours[how]);
  const name = `#${component}${guess(component)}${whole || !own.length ? '' : ', where it is among the strongest'}`;
  if (!own.length) return `${name}: not active in this picture`;
  if (!data.rows) return `${name}. Activation ${number(own[0][1])}, attribution ${shaped(own[0][2])} ${data.unit}`;
  return how === 'activation'
    ? `${name}. Activation: full colour at ${number(peak)}${byCls(`; at CLS ${number(values[0] || 0)}`)}`
    : `${name}. Attribution: full colour at ${number(peak, 2)} ${data.unit}; in all ${shaped(sum)}${byCls(`, of it by CLS ${shaped(values[0] || 0)}`)}`;
};
const current = () => (after && after.of === prediction()?.dataset.digest ? after : null);
const showTarget = () => {
  const shown = base === 'after' ? current() : data.before;
  if (!shown) {
    paint([], 1, colours.attribution);
    return 'After the edit: running the model …';
  }
  // Both on one scale.
  const peak = Math.max(...[data.before, current()].flatMap((one) => (one ? one.tokens.slice(1).map(Math.abs) : [])), 0) || 1;
  paint(shown.tokens, peak, colours.attribution);
  const byPatches = shown.tokens.slice(1).reduce((total, value) => total + value, 0);
  const said = `${data.target} ${base === 'after' ? 'after the edit' : 'before any edit'}: ${signed(shown.value)} ${data.unit}`;
  const byTokens = `by patches ${shaped(byPatches)}${byCls(`, by CLS ${shaped(shown.tokens[0])}`)}`;
  return data.rows ? `${said}; ${byTokens}. Full colour at ${number(peak, 2)} ${data.unit}` : said;
};
const show = () => {
  const row = painting ? null : pointed ?? focused ?? pinned ?? opened();
  const mapped = Boolean(row || (base && !painting));
  put(find('.frame'), { 'data-mapped': mapped && data.rows > 0 });
  find('.line').textContent = !mapped ? find('.line').dataset.caption : row ? showComponent(row) : showTarget();
  if (!mapped) paint([], 1, colours.activation);
  element.querySelectorAll('[data-how]').forEach((button) => put(button, {
    'aria-checked': button.dataset.how === how, tabindex: button.dataset.how === how ? 0 : -1,
  }));
  const edited = prediction()?.dataset.edit !== '[]';
  element.querySelectorAll('[data-base]').forEach((button) => put(button, {
    'aria-pressed': button.dataset.base === base, 'aria-disabled': button.dataset.base === 'after' && !edited,
  }));
};
const choose = (chosen, keeping = false) => {
  base = chosen === 'after' && prediction()?.dataset.edit === '[]' ? 'before' : chosen;
  if (!keeping) pinned = null;
  if (base === 'after' && !current()) trigger('measure');
  show();
};

// What fires at a token, what contributes most first.
const showToken = (at) => {
  const known = [...firing[at]].sort((one, other) => Math.abs(other[2]) - Math.abs(one[2]));
  const all = data.firing[at];
  find('.here').textContent = `${place(at)}: ${all === 1 ? '1 component fires' : `${all || 'no'} components fire`}` +
    (known.length < all ? `, ${known.length} listed` : '');
  find('.firing').replaceChildren(...known.map(([c, f, a]) => make('li', {}, make('button', {
    type: 'button', 'data-row': c, ...(data.pages ? { 'data-component': c, 'data-action': 'open', title: `Open component ${c}` } : {}),
  }, make('b', {}, `#${c}`), make('span', { class: 'guess' }, guess(c)), make('span', {}, `activation ${number(f)}`),
  make('span', { class: `sum ${tone(a)}` }, shaped(a), make('small', {}, ` ${data.short}`))))));
};
const mark = () => {
  put(find('[data-look-at-cls]'), { 'aria-pressed': kept === 0 });
  put(find('.grid'), { 'aria-multiselectable': painting });
  cells().forEach((cell) => {
    const at = Number(cell.dataset.token);
    put(cell, { 'aria-selected': painting ? Boolean(tokens?.includes(at)) : at === kept });
    cell.classList.toggle('acts', Boolean(tokens?.includes(at)));
  });
  put(root(), { 'data-tab': tabOpen(), 'data-painting': painting, 'data-confined': tokens !== null });
  put(find('[data-paint]'), { 'aria-pressed': painting });
  put(find('[data-all]'), { 'aria-pressed': tokens === null });
  put(find('[data-cls]'), { 'aria-pressed': Boolean(tokens?.includes(0)) });
  const patches = tokens && tokens.filter((token) => token > 0).length;
  const words = tokens === null ? 'all tokens' : patches ? `${patches} of ${data.rows * data.columns} patches` : 'CLS only';
  find('.scope output').textContent = words + (patches && tokens.includes(0) ? ' and CLS' : '');
};
const keep = (at) => {
  kept = at;
  if (at !== null) showToken(at);
  mark();
};

// Where the edit acts. Python's word counts once it has heard all that was painted here, or where the edit was changed
// elsewhere; before, it is about an older stroke.
const hear = () => {
  const told = JSON.parse(prediction()?.dataset.patches ?? 'null');
  if (!data || !told || (told.heard < sent.moment && told.revision === sent.revision)) return;
  tokens = told.tokens;
  mark();
};
const send = (chosen) => {
  tokens = chosen && chosen.length ? [...chosen].sort((one, other) => one - other) : null;
  mark();
  const { revision } = JSON.parse(prediction().dataset.patches);
  sent = { revision, moment: performance.now() };
  props.value = JSON.stringify({ ...sent, gesture, tokens });
  trigger('pick');
};
const turn = (at, on) => {
  const chosen = new Set(tokens ?? []);
  if (chosen.has(at) === on) return;
  if (on) chosen.add(at);
  else chosen.delete(at);
  send([...chosen]);
};
const setPainting = (on) => {
  painting = on;
  mark();
  show();
};

// On a phone the picture is small until it is pressed; then it has the screen, and all else waits.
const size = () => {
  put(root(), { 'data-large': large });
  if (large) put(root(), { role: 'dialog', 'aria-modal': true });
  else ['role', 'aria-modal'].forEach((name) => root().removeAttribute(name));
  document.querySelectorAll('#top, #main, #foot, #prediction').forEach((part) => { part.inert = large; });
};
const setLarge = (on) => {
  large = on;
  size();
  find(on ? '.close' : '.enlarge').focus({ preventScroll: true });
};
matchMedia('(max-width: 820px)').addEventListener('change', () => { if (large) setLarge(false); });

const draw = () => {
  if (!root()) return;
  data = JSON.parse(root().dataset.maps);
  // Each place is told once: by the map of its component, or at its token.
  firing = data.tokens.map(triples);
  Object.entries(data.maps).forEach(([c, map]) => triples(map).forEach(([at, f, a]) => firing[at].push([Number(c), f, a])));
  const patches = Array.from({ length: data.rows * data.columns }, (_, k) => make('button', {
    type: 'button', role: 'gridcell', 'data-token': k + 1, tabindex: k ? -1 : 0, 'aria-label': place(k + 1),
  }));
  find('.grid').replaceChildren(...Array.from({ length: data.rows }, (_, row) => make('div', { role: 'row' },
    ...patches.slice(row * data.columns, (row + 1) * data.columns))));
  [kept, sent] = [null, { moment: -1, revision: -1 }];
  find('.here').textContent = 'Point at a patch: what fires?';
  find('.firing').replaceChildren();
  size();
  mark();
  hear();
  choose(base, true);
};
const answered = () => {
  after = props.measured ? JSON.parse(props.measured) : null;
  show();
};
draw();
watch(Object.keys({ html: 0 }), draw);  // in quotes, Gradio would take it for an event, and send that in its place
watch(Object.keys({ measured: 0 }), answered);
document.addEventListener('edit', () => {
  hear();
  if (base) choose(base, true);
  else show();
});

// Another tab: what was clicked in the last one is over, and Before / after shows the target.
let tab = tabOpen();
new MutationObserver(() => {
  if (tabOpen() === tab) return;
  tab = tabOpen();
  pointed = null;
  if (tab !== 'steering') painting = false;
  mark();
  choose(tab === 'compare' ? 'after' : '');
}).observe(document.body, { subtree: true, attributeFilter: ['aria-selected'] });

document.addEventListener('pointerover', (event) => {
  if (event.pointerType === 'touch') return;
  const row = rowOf(event.target);
  if (row?.component === pointed?.component) return;
  pointed = row;
  show();
});
document.addEventListener('pointerout', (event) => {
  if (event.relatedTarget || !pointed) return;  // else it is over something, which is told of
  pointed = null;
  show();
});
document.addEventListener('focusin', (event) => {
  focused = rowOf(event.target);
  show();
});
document.addEventListener('focusout', (event) => {
  if (event.relatedTarget || !focused) return;
  focused = null;
  show();
});
document.addEventListener('click', (event) => {
  const row = rowOf(event.target);
  if (event.target.closest('#panel')) return;
  pinned = event.target.closest('[data-action=open]') ? null : row;
  show();
});

element.addEventListener('pointerdown', (event) => {
  const cell = event.target.closest('[data-token]');
  if (!cell || !painting || event.pointerType === 'touch') return;
  const at = Number(cell.dataset.token);
  stroke = !tokens?.includes(at);
  turn(at, stroke);
  window.addEventListener('pointerup', () => { stroke = null; gesture += 1; }, { once: true });
});
element.addEventListener('pointerover', (event) => {
  const cell = event.target.closest('[data-token]');
  if (!cell || event.pointerType === 'touch') return;
  if (!painting) showToken(Number(cell.dataset.token));
  else if (stroke !== null) turn(Number(cell.dataset.token), stroke);
});
element.addEventListener('pointerout', (event) => {
  if (kept !== null && event.target.closest('.grid') && !event.relatedTarget?.closest?.('.grid')) showToken(kept);
});
element.addEventListener('click', (event) => {
  const pressed = event.target.closest('button');
  if (!pressed) return;
  const { large: wanted, how: map, base: whole, token, action, component } = pressed.dataset;
  if (wanted) setLarge(wanted === 'true');
  if ('twin' in pressed.dataset) trigger('twin', { on: pressed.getAttribute('aria-pressed') !== 'true' });
  if (map) chooseMap(pressed);
  if (whole && pressed.getAttribute('aria-disabled') !== 'true') choose(whole === base ? '' : whole);
  if ('paint' in pressed.dataset) setPainting(!painting);
  if ('lookAtCls' in pressed.dataset) keep(kept === 0 ? null : 0);
  if (action) {
    if (large) setLarge(false);
    trigger('act', { component: Number(component), action, on: true });
  } else if (pressed.dataset.row) {
    pinned = rowOf(pressed);
    show();
  }
  if ('all' in pressed.dataset || 'cls' in pressed.dataset) {
    if ('all' in pressed.dataset) send(null);
    else turn(0, !tokens?.includes(0));
    gesture += 1;
  }
  if (!token) return;
  const at = Number(token);
  if (!painting) return keep(at === kept ? null : at);
  // detail 0: pressed from the keyboard; a mouse was answered on pointerdown.
  if (event.detail !== 0 && event.pointerType !== 'touch') return;
  turn(at, !tokens?.includes(at));
  gesture += 1;
});
const chooseMap = (button) => {
  how = button.dataset.how;
  show();
};
element.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && large) return setLarge(false);
  const map = event.target.closest('[data-how]');
  const cell = event.target.closest('[data-token]');
  const columns = cell ? data.columns : 1;
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key];
  if (!step || !(map || cell)) return;
  event.preventDefault();
  if (map) {
    const other = map.nextElementSibling || map.previousElementSibling;
    chooseMap(other);
    return other.focus();
  }
  const next = cells()[Number(cell.dataset.token) - 1 + step];
  if (!next) return;
  cell.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
  if (!painting) keep(Number(next.dataset.token));
});
