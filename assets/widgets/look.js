// Where it looks: all of it is in data-looking, so that pointing at things asks nobody. A patch that is clicked, tapped or
// reached by keyboard stays, as does a component that is pressed; what is merely pointed at shows while it is.
let data, firing, token, component;  // token, component: what stays
const root = () => element.querySelector('.look');
const number = (value, digits = 3) => String(Number(value.toPrecision(digits))).replace('-', '−');
const signed = (value) => (Math.abs(value) < 0.005 ? '±0.00' : (value > 0 ? '+' : '−') + Math.abs(value).toFixed(2));
const tone = (value) => (Math.abs(value) < 0.005 ? '' : value > 0 ? 'for' : 'against');
const shape = { for: '▲ ', against: '▼ ', '': '' };
const make = (tag, attributes, ...children) => {
  const made = document.createElement(tag);
  Object.entries(attributes).forEach(([name, value]) => made.setAttribute(name, value));
  made.append(...children);
  return made;
};
const place = (at) => {
  if (at === 0) return 'CLS';
  return `row ${Math.floor((at - 1) / data.columns) + 1}, column ${((at - 1) % data.columns) + 1}`;
};
const label = (c) => (data.labels[c] ? `guess: “${data.labels[c]}”` : '');

// The map of one component, in both pictures: opacity is its share of the strongest token, CLS included.
const showMap = (c) => {
  const found = data.maps[c] || [];
  for (const [kind, at] of [['activation', 1], ['attribution', 2]]) {
    const figure = root().querySelector(`.${kind}`);
    const peak = Math.max(...found.map((one) => Math.abs(one[at])), 0) || 1;
    const by = new Map(found.map((one) => [one[0], one[at]]));
    figure.querySelectorAll('[data-token]').forEach((cell) => {
      const value = by.get(Number(cell.dataset.token)) || 0;
      cell.firstChild.className = value < 0 ? 'negative' : 'positive';
      cell.firstChild.style.opacity = value ? 0.1 + 0.8 * (Math.abs(value) / peak) ** 0.7 : 0;
    });
    const cls = by.get(0) || 0;
    const sum = found.reduce((total, one) => total + one[at], 0);
    figure.querySelector('output').textContent = !found.length ? `#${c}: too weak here to keep its map` : at === 1
      ? `#${c}: full colour at activation ${number(peak)}; at CLS ${number(cls)}`
      : `#${c}: full colour at ${number(peak, 2)} logits; in all ${signed(sum)}, of it by CLS ${signed(cls)}`;
  }
};

// The components that fire at a token, what contributes most first.
const showToken = (at) => {
  const known = [...firing[at].entries()].sort((a, b) => Math.abs(b[1][1]) - Math.abs(a[1][1]));
  element.querySelectorAll('[data-token]').forEach((cell) => {
    cell.setAttribute('aria-selected', String(Number(cell.dataset.token) === at));
  });
  element.querySelector('[data-cls]')?.setAttribute('aria-pressed', String(at === 0));
  const where = place(at);
  const all = data.firing[at];
  root().querySelector('.here').textContent = `${where[0].toUpperCase()}${where.slice(1)}: ` +
    (all === 1 ? '1 component fires' : `${all || 'no'} components fire`) +
    (known.length < all ? `, the strongest ${known.length} listed` : '');
  root().querySelector('.firing').replaceChildren(...known.map(([c, [f, a]]) => make('li', { 'data-row': c },
    make('button', { type: 'button', class: 'pick', 'data-pick': c, 'aria-pressed': String(c === component) },
      make('b', {}, `#${c}`), make('span', { class: 'guess' }, label(c)),
      make('span', { class: 'fires' }, `activation ${number(f)}`),
      make('span', { class: `sum ${tone(a)}` }, shape[tone(a)] + signed(a), make('small', {}, ' logits'))),
    ...(data.pages ? [make('button', {
      type: 'button', class: 'act', 'data-component': c, 'data-action': 'open', 'aria-label': `More about component ${c}`,
    }, 'More')] : []))));
};

const keep = (at) => { token = at; showToken(at); };
const draw = () => {
  if (!root()) return;
  data = JSON.parse(root().dataset.looking);
  // The lists name the strongest at each token, the maps the strongest in the picture: what fires there is in either.
  firing = data.tokens.map((listed) => new Map(listed.map(([c, f, a]) => [c, [f, a]])));
  Object.entries(data.maps).forEach(([c, map]) => map.forEach(([at, f, a]) => firing[at].set(Number(c), [f, a])));
  component = data.first;
  // It opens where that component contributes most, among the patches if it fires on any.
  const map = data.maps[component] || [];
  const best = [...map].sort((a, b) => (a[0] === 0) - (b[0] === 0) || Math.abs(b[2]) - Math.abs(a[2]))[0];
  const opens = best ? best[0] : 1;
  root().querySelectorAll('.grid').forEach((grid) => {
    const cells = Array.from({ length: data.rows * data.columns }, (_, k) => make('button', {
      type: 'button', role: 'gridcell', 'data-token': k + 1, tabindex: k + 1 === Math.max(opens, 1) ? 0 : -1,
      'aria-label': place(k + 1),
    }, make('i', {})));
    grid.replaceChildren(...Array.from({ length: data.rows }, (_, row) => make('div', { role: 'row' },
      ...cells.slice(row * data.columns, (row + 1) * data.columns))));
  });
  showMap(component);
  keep(opens);
};
draw();
watch('value', draw);

element.addEventListener('pointerover', (event) => {
  if (event.pointerType === 'touch') return;
  const cell = event.target.closest('[data-token]');
  if (cell) return showToken(Number(cell.dataset.token));
  const row = event.target.closest('[data-row]');
  if (row) showMap(Number(row.dataset.row));
});
element.addEventListener('pointerout', (event) => {
  if (event.pointerType === 'touch') return;
  if (event.target.closest('.grid') && !event.relatedTarget?.closest?.('.grid')) showToken(token);
  if (event.target.closest('[data-row]') && !event.relatedTarget?.closest?.('[data-row]')) showMap(component);
});
element.addEventListener('focusin', (event) => {
  const row = event.target.closest('[data-row]');
  if (row) showMap(Number(row.dataset.row));
});
element.addEventListener('click', (event) => {
  const open = event.target.closest('[data-action]');
  if (open) return trigger('act', { component: Number(open.dataset.component), action: open.dataset.action, on: true });
  const cell = event.target.closest('[data-token]');
  if (cell) return keep(Number(cell.dataset.token));
  if (event.target.closest('[data-cls]')) return keep(0);
  const pick = event.target.closest('[data-pick]');
  if (pick) {
    component = Number(pick.dataset.pick);
    element.querySelectorAll('[data-pick]').forEach((one) => one.setAttribute('aria-pressed', String(one === pick)));
    showMap(component);
  }
  const view = event.target.closest('[role=radio]');
  if (view) show(view);
});
// Narrow pages have room for one of the two maps.
const show = (view) => {
  root().dataset.shown = view.dataset.view;
  [...view.parentElement.children].forEach((one) => {
    one.setAttribute('aria-checked', String(one === view));
    one.tabIndex = one === view ? 0 : -1;
  });
};
element.addEventListener('keydown', (event) => {
  const view = event.target.closest('[role=radio]');
  const cell = event.target.closest('[data-token]');
  const columns = cell ? data.columns : 1;
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key];
  if (!step || !(view || cell)) return;
  event.preventDefault();
  if (view) {
    const other = view.nextElementSibling || view.previousElementSibling;
    show(other);
    other.focus();
    return;
  }
  const all = [...cell.closest('.grid').querySelectorAll('[data-token]')];
  const next = all[all.indexOf(cell) + step];
  if (!next) return;
  cell.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
  keep(Number(next.dataset.token));
});
