// A page within another page, ?embed=1, shows one result (style.css), before anything is drawn.
if (new URLSearchParams(location.search).get('embed') === '1') document.documentElement.classList.add('embed');
