// The value is the visitor's whole intent: a deferred run (always_last) reads the latest one, whatever was skipped.
// `moment` lets Python drop what arrives out of order. Strengths go as typed: Python says what is wrong with one.
let gesture = Date.now();
const rows = () => [...element.querySelectorAll('.lever')];
const send = () => {
  const was = JSON.parse(props.value);
  // A family's row has several components: a lever for each, all doing the same.
  const levers = rows().flatMap((row) => row.dataset.components.split(',').map((component) => ({
    component: Number(component),
    operation: row.dataset.operation,
    strength: row.dataset.operation === 'suppress' ? 0 : row.querySelector('.exact').value,
    family: row.dataset.family ? Number(row.dataset.family) : null,
    at_least: row.querySelector('.at-least').value.trim() || null,
  })));
  props.value = JSON.stringify({ ...was, levers, gesture, moment: performance.now() });
  trigger('pull');
};
// Gradio compares attributes when it draws anew, so a value is also set as an attribute.
const show = (input, value) => { input.value = value; input.setAttribute('value', value); };
element.addEventListener('input', (event) => {
  if (event.target.type !== 'range') return;
  const row = event.target.closest('.lever');
  event.target.setAttribute('value', event.target.value);
  show(row.querySelector('.exact'), event.target.value);
  send();
});
element.addEventListener('change', (event) => {
  gesture += 1;
  if (!event.target.matches('.exact, .at-least')) return;
  const row = event.target.closest('.lever');
  event.target.setAttribute('value', event.target.value);
  if (event.target.matches('.at-least')) {
    send();
    gesture += 1;
    return;
  }
  const number = Number(event.target.value.replace(',', '.').replace('−', '-'));  // as core/session/typed.py reads it
  if (Number.isFinite(number)) show(row.querySelector('[type=range]'), number);
  send();
  gesture += 1;
});
const choose = (button) => {
  const row = button.closest('.lever');
  const operation = button.dataset.operation;
  if (row.dataset.operation === operation) return;
  row.dataset.operation = operation;
  if (operation !== 'suppress') {
    const [min, max, step, start] = row.dataset[operation].split(' ');
    Object.assign(row.querySelector('[type=range]'), { min, max, step, value: start });
    row.querySelector('.exact').value = start;
  }
  gesture += 1;
  send();
  gesture += 1;  // a drag that follows is a step of its own
};
element.addEventListener('click', (event) => {
  const open = event.target.closest('[data-action]');
  if (open) trigger('act', { component: Number(open.dataset.component), action: open.dataset.action, on: true });
  const operation = event.target.closest('[role=radio]');
  if (operation) choose(operation);
  const remove = event.target.closest('[data-remove]');
  if (!remove) return;
  const row = remove.closest('.lever');
  const next = row.nextElementSibling || row.previousElementSibling;
  row.remove();
  (next?.querySelector('[data-remove]') || document.querySelector('#prediction [data-step=undo]'))?.focus();
  gesture += 1;
  send();
  gesture += 1;
});
element.addEventListener('keydown', (event) => {
  const here = event.target.closest('[role=radio]');
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!here || !step) return;
  event.preventDefault();
  const all = [...here.parentElement.children];
  const next = all[(all.indexOf(here) + step + all.length) % all.length];
  next.focus();
  choose(next);
});
