// A term explains itself beside it: while it is pointed at or focused, or once it is pressed, until Escape or a press
// elsewhere. The sentence is the one that aria-describedby refers to, so that nobody need be told of this box.
{
  let of = null, stays = false, leaving;
  const box = Object.assign(document.createElement('div'), { className: 'meaning', hidden: true });
  box.setAttribute('aria-hidden', 'true');
  const place = () => {
    const [at, size] = [of.getBoundingClientRect(), box.getBoundingClientRect()];
    const under = at.bottom + size.height + 8 <= innerHeight;
    box.style.left = `${Math.max(8, Math.min(at.left, document.documentElement.clientWidth - size.width - 8))}px`;
    box.style.top = `${under ? at.bottom : Math.max(8, at.top - size.height)}px`;
  };
  const show = (term, pressed = false) => {
    [of, stays] = [term, Boolean(term) && pressed];
    box.hidden = !term;
    if (!term) return;
    box.textContent = document.getElementById(term.getAttribute('aria-describedby'))?.textContent ?? '';
    document.body.append(box);
    place();
  };
  const focused = () => (document.activeElement?.matches('.term:focus-visible') ? document.activeElement : null);
  document.addEventListener('pointerover', ({ pointerType, target }) => {
    if (pointerType === 'touch' || (stays && of.isConnected)) return;
    clearTimeout(leaving);
    const term = target.closest('.term');
    if (term && term !== of) show(term);
    else if (!term && of && !target.closest('.meaning')) leaving = setTimeout(() => show(focused()), 150);  // on its way to the box
  });
  document.addEventListener('focusin', ({ target }) => show(target.matches('.term:focus-visible') ? target : null));
  document.addEventListener('click', ({ target }) => {
    if (target.closest('.meaning')) return;
    const term = target.closest('.term');
    show(term === of && stays ? null : term, true);
  });
  document.addEventListener('keydown', ({ key }) => { if (key === 'Escape') show(null); });
  document.addEventListener('scroll', () => { if (of) place(); }, { capture: true, passive: true });
}
