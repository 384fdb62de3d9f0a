// Two at once: what is chosen in one picture is marked in the other. A component shows where it fires, in both on one
// scale; a patch says what fires there. What stands beside the visit is asked for anew when that changed, in sight.
const find = (selector) => document.querySelector(selector);
const log = () => find('#asking').log;
const inSight = () => find('#tabs [role=tab][aria-selected=true]')?.dataset.tabId === 'compare';
const digest = () => find('#prediction .prediction')?.dataset.digest;
const two = () => element.querySelector('[data-two]');
const pictures = () => [...element.querySelectorAll('[data-side]')];
const triples = (flat) => Array.from({ length: flat.length / 3 }, (_, k) => flat.slice(3 * k, 3 * k + 3));
let sides = [], pinned = null, place = null, asked = null;

const ask = (chosen) => {
  const at = chosen.indexOf(':');
  const [kind, name] = [chosen.slice(0, at), chosen.slice(at + 1)];
  const lines = kind === 'lines' ? name.split(',').map((id) => log().source(id)) : [];
  if (lines.some((one) => !one)) return;
  asked = { chosen, of: digest(), fixed: lines.length === 2 };
  props.value = JSON.stringify({ kind, name, lines, moment: performance.now() });
  trigger('pair');
};

// Where a component fires: a pixel a patch.
const paint = () => {
  const shown = pinned && { ...pinned, places: sides.map((side, k) => (pinned.of.includes(k) ? triples(side.maps[pinned.component] ?? []) : [])) };
  const peak = Math.max(0, ...(shown?.places.flat().map(([, f]) => Math.abs(f)) ?? [])) || 1;
  pictures().forEach((picture, k) => {
    const canvas = picture.querySelector('canvas');
    const context = canvas.getContext('2d');
    const pixels = context.createImageData(canvas.width, canvas.height);
    shown?.places[k].filter(([at]) => at > 0).forEach(([at, f]) => {
      pixels.data.set([138, 53, 214, 255 * (0.1 + 0.8 * Math.min(Math.abs(f) / peak, 1) ** 0.7)], 4 * (at - 1));
    });
    context.putImageData(pixels, 0, 0);
    picture.classList.toggle('mapped', Boolean(shown?.of.includes(k)));
  });
};
const show = (component, of) => {
  pinned = component === null ? null : { component, of };
  paint();
};
// The same place in both, whatever their grids.
const cell = (side, [row, column]) => {
  const [rows, columns] = [sides[side].rows, sides[side].columns];
  const [y, x] = [Math.min(Math.floor(row * rows), rows - 1), Math.min(Math.floor(column * columns), columns - 1)];
  return { y, x, rows, columns, token: 1 + y * columns + x };
};
const firing = (side, token) => {
  const { maps, tokens } = sides[side];
  const mapped = Object.entries(maps).flatMap(([c, map]) => triples(map).filter(([at]) => at === token).map(([, f, a]) => [Number(c), f, a]));
  return [...mapped, ...triples(tokens[token])].sort((one, other) => Math.abs(other[2]) - Math.abs(one[2]));
};
const mark = () => {
  const there = place && sides.map((_, k) => cell(k, place));
  const known = there?.map(({ token }, k) => firing(k, token));
  pictures().forEach((picture, k) => {
    const patch = picture.querySelector('.patch');
    patch.hidden = !there;
    if (!there) return;
    const { y, x, rows, columns } = there[k];
    patch.style.cssText = `top:${(100 * y) / rows}%;left:${(100 * x) / columns}%;height:${100 / rows}%;width:${100 / columns}%`;
  });
  element.querySelectorAll('[data-both]').forEach((row) => {
    const fires = row.dataset.sides.split(',').map(Number).filter((k) => known?.[k].some(([c]) => c === Number(row.dataset.both)));
    row.dataset.fires = fires.map((k) => 'AB'[k]).join(' ');
    row.querySelector('.fires').textContent = fires.length ? ` fires there in ${fires.map((k) => 'AB'[k]).join(' and ')}` : '';
  });
  if (!there) return;
  const words = known.map((all, k) => `${'AB'[k]}: ${all.slice(0, 3).map(([c]) => `#${c}`).join(', ') || 'nothing'}`);
  element.querySelector('[data-there]').textContent = `Row ${there[0].y + 1}, column ${there[0].x + 1}. What counts most there, ${words.join('; ')}`;
};
const move = (row, column) => {
  place = [Math.min(Math.max(row, 0), 0.999), Math.min(Math.max(column, 0), 0.999)];
  mark();
};

const dress = () => {
  sides = two() ? JSON.parse(two().dataset.two) : [];
  [pinned, place] = [null, null];
  const select = element.querySelector('select');
  const lines = log().kept().lines.slice(-20).reverse().map((line) => {
    const components = Array.from(line.state.edit?.levers ?? [], (one) => `#${one?.component}`);
    const said = `${components.slice(0, 3).join(', ')}${components.length > 3 ? ' …' : ''}, ${new Date(line.time).toLocaleTimeString()}`;
    return Object.assign(document.createElement('option'), { value: `lines:${line.id}`, textContent: line.expectation ? `“${line.expectation}” ${said}` : said });
  });
  element.querySelectorAll('[data-lines], option[value*=","]').forEach((one) => one.remove());
  if (lines.length) {
    const group = Object.assign(document.createElement('optgroup'), { label: 'A line of your log' });
    group.dataset.lines = '';
    group.append(...lines);
    select.append(group);
  }
  if (!two()) asked = null;
  else paint();
  if (asked?.fixed) select.prepend(Object.assign(document.createElement('option'), { value: asked.chosen, textContent: 'two lines of your log' }));
  select.value = asked?.chosen ?? '';
};
const fresh = () => {
  if (!inSight()) return;
  const lines = log().two;
  log().two = null;
  if (lines) ask(`lines:${lines.join(',')}`);
  else if (asked && !asked.fixed && asked.of !== digest()) ask(asked.chosen);
};
dress();
fresh();
watch(Object.keys({ html: 0 }), dress);  // in quotes, Gradio would take it for an event
document.addEventListener('edit', fresh);
document.addEventListener('refused', ({ detail }) => {  // what was chosen can be chosen again
  if (detail === 'pair') [asked, element.querySelector('select').value] = [null, ''];
});
document.addEventListener('log', () => { if (inSight() && !element.contains(document.activeElement)) dress(); });
let open = true;
new MutationObserver(() => {
  if (inSight() === open) return;
  open = !open;
  if (open && !two()) dress();
  fresh();
}).observe(find('#tabs'), { subtree: true, attributeFilter: ['aria-selected'] });

element.addEventListener('change', (event) => {
  if (event.target.matches('select') && event.target.value) ask(event.target.value);
});
const rowOf = (target) => target.closest?.('[data-both]');
const kept = () => element.querySelector('[data-kept=true]');
const showRow = (row) => (row ? show(Number(row.dataset.both), row.dataset.sides.split(',').map(Number)) : show(null));
['pointerover', 'focusin'].forEach((name) => element.addEventListener(name, (event) => {
  if (event.pointerType !== 'touch' && two()) showRow(rowOf(event.target) ?? kept());
}));
element.addEventListener('pointerleave', () => { if (two()) showRow(kept()); });
element.addEventListener('click', (event) => {
  const row = rowOf(event.target);
  if (row) {
    const on = row.dataset.kept !== 'true';
    element.querySelectorAll('[data-both]').forEach((one) => {
      one.dataset.kept = String(on && one === row);
      one.setAttribute('aria-pressed', one.dataset.kept);
    });
    showRow(kept());
  }
  const picture = event.target.closest('[data-side]');
  if (!picture || event.detail === 0) return;  // a key
  const box = picture.getBoundingClientRect();
  move((event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width);
});
element.addEventListener('keydown', (event) => {
  const picture = event.target.closest('[data-side]');
  const step = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1], Enter: [0, 0], ' ': [0, 0] }[event.key];
  if (!picture || !step) return;
  event.preventDefault();
  const { rows, columns } = sides[Number(picture.dataset.side)];
  const { y, x } = place ? cell(Number(picture.dataset.side), place) : { y: 0, x: 0 };
  const [down, right] = place ? step : [0, 0];
  move((y + down + 0.5) / rows, (x + right + 0.5) / columns);
});
