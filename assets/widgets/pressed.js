// Which buttons of components are pressed follows from the edit that the prediction holds, wherever a button stands and
// whenever it was drawn: rows need not be sent anew when a lever is pulled. A button has its words in data-on, data-off.
{
  const on = {
    suppress: (lever) => lever.operation === 'suppress',
    amplify: (lever) => lever.operation === 'scale' && lever.strength > 1,
    family: (lever) => lever.operation === 'suppress' && lever.components.length > 1,
  };
  const put = (element, name, value) => {
    if (element.getAttribute(name) !== value) element.setAttribute(name, value);
  };
  const mark = () => {
    const levers = new Map();
    for (const lever of JSON.parse(document.querySelector('#prediction [data-edit]')?.dataset.edit ?? '[]')) {
      lever.components.forEach((component) => levers.set(String(component), lever));
    }
    document.querySelectorAll('button[data-action][data-on]').forEach((button) => {
      const lever = levers.get(button.dataset.component);
      const pressed = Boolean(lever && on[button.dataset.action](lever));
      const words = pressed ? button.dataset.on : button.dataset.off;
      put(button, 'aria-pressed', String(pressed));
      if (button.textContent !== words) button.textContent = words;
    });
    document.querySelectorAll('[data-row]').forEach((row) => put(row, 'data-pulled', String(levers.has(row.dataset.row))));
  };
  // Gradio draws anew by changing attributes and texts in place: it may take back what stands here.
  new MutationObserver(mark).observe(document, {
    subtree: true, childList: true, characterData: true,
    attributeFilter: ['data-edit', 'data-on', 'data-row', 'data-component', 'aria-pressed', 'data-pulled'],
  });
}
