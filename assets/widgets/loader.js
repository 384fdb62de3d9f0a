// Before Gradio's own scripts. Gradio takes its loader away while the loader's clock runs, which then asks for every frame
// as long as the page is open. The frame in which the page is first seen to stand is left out for clocks, which ends that.
{
  const frame = window.requestAnimationFrame;
  const clock = /performance\.now\(\) ?- ?.*\/ ?1e3/;
  let last = null;
  window.requestAnimationFrame = (draws) => frame((now) => {
    if (last === null && document.querySelector('#keeper')) [last, window.requestAnimationFrame] = [now, frame];
    if (now !== last || !clock.test(draws)) draws(now);
  });
}
