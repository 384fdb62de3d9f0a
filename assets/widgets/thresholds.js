// The numbers of the threshold that is pointed at, or that the slider under the chart stands at.
{
  const show = (chart, k) => {
    const said = JSON.parse(chart.dataset.said);
    const slider = chart.querySelector('[type=range]');
    const at = Math.min(said.length - 1, Math.max(0, k));
    slider.value = at;
    slider.setAttribute('aria-valuetext', said[at]);
    chart.style.setProperty('--at', `${100 * at / (said.length - 1)}%`);
    chart.querySelector('.at').textContent = said[at];
  };
  element.addEventListener('input', (event) => {
    const chart = event.target.closest('.thresholds');
    if (chart) show(chart, Number(event.target.value));
  });
  for (const move of ['pointermove', 'pointerdown']) {
    element.addEventListener(move, (event) => {
      const plot = event.target.closest('.thresholds .plot');
      if (!plot) return;
      const { left, width } = plot.getBoundingClientRect();
      const chart = plot.closest('.thresholds');
      show(chart, Math.round((event.clientX - left) / width * chart.querySelector('[type=range]').max));
    });
  }
}
