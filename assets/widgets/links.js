// The link to what is in sight, for the clipboard; where a frame is denied that, it stands there, chosen, to be copied.
// In another page (?embed=1) it is the way to the whole one.
const SECONDS = 15;
let said = 0;
const say = (words) => {
  find('p').textContent = words;
  clearTimeout(said);
  said = setTimeout(() => { if (find('input').hidden) say(''); }, 1000 * SECONDS);
};
const find = (selector) => element.querySelector(selector);
const address = () => document.querySelector('#keeper').address();
const TOLD = {
  link: 'Copied. It opens what you see now.',
  embed: 'Copied: put it into a page of your own.',
};
const NOT = {
  link: 'Copy the link from here.',
  embed: 'Copy the code from here.',
};
const OWN = {
  first: ' Your picture is in no link: it has to be brought again. The report (Take along) holds it.',
  second: ' Your second picture is in no link: it has to be brought again. The report (Take along) holds it.',
  both: ' Your pictures are in no link: they have to be brought again. The report (Take along) holds them.',
};
const written = (what) => {
  if (what === 'link') return address();
  const source = address().replaceAll('&', '&amp;');
  return `<iframe src="${source}${source.includes('?') ? '&amp;' : '?'}embed=1" title="CLIP Levers" loading="lazy" ` +
    'style="width: 100%; max-width: 820px; height: clamp(460px, calc(1260px - 100vw), 740px); border: 0"></iframe>';
};
const copied = async (text) => {
  const field = find('input');
  field.value = text;
  field.hidden = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    field.hidden = false;
    field.select();
    field.hidden = document.execCommand('copy');
  }
  return field.hidden;
};
element.addEventListener('click', async (event) => {
  const { copy } = event.target.closest('[data-copy]')?.dataset ?? {};
  if (!copy) return;
  if (!address().includes('?')) {
    say('Too much for an address. The report (Take along) holds it.');
    return;
  }
  const words = await copied(written(copy)) ? TOLD[copy] : NOT[copy];
  const [first, second] = ['#crop-sheet img', '#second img[data-own]'].map((own) => document.querySelector(own) !== null);
  say(words + (first && second ? OWN.both : first ? OWN.first : second ? OWN.second : ''));
});

const full = find('a');
const renew = () => { full.href = address(); };
full.addEventListener('pointerdown', renew);
full.addEventListener('focus', renew);
document.addEventListener('brought', () => requestAnimationFrame(renew));
