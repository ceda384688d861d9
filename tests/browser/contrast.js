// SPDX-License-Identifier: Apache-2.0
// The contrast of an element's text with its background: https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio
element => {
  const parse = text => (text.match(/[\d.]+/g) || []).map(Number);
  const linear = v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = rgb => {
    const [r, g, b] = rgb.map(linear);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const style = getComputedStyle(element);
  const ink = parse(element.namespaceURI.endsWith('svg') ? style.fill : style.color).slice(0, 3);
  let ground = element, found = [];
  for (; ground; ground = ground.parentElement) {
    found = parse(getComputedStyle(ground).backgroundColor);
    if (found.length === 3 || found[3] > 0) break;
  }
  const [a, b] = [light(ink), light(found.slice(0, 3))].sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05);
}
