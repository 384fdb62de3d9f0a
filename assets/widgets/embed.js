// What the address asks for is told to styles and scripts before anything is drawn: a page within another page, ?embed=1,
// shows one result; one that a link opens shows that, and not what others add to an address (core/session/links.py).
{
  const asked = new URLSearchParams(location.search);
  const { classList } = document.documentElement;
  classList.toggle('embed', asked.get('embed') === '1');
  classList.toggle('linked', [...asked.keys()].some((name) => !/^(_.*|utm_.*|fbclid|gclid|embed|view|logs)$/.test(name)));
}
