/** The curves of the plot: each its own colour, and its own stroke for who does not see colours apart. */
import type { Series, Statistics } from '../api/places';
import { counts, total } from '../lib/statistics';
import type { Curve } from '../lib/plot';

const LOOKS: Partial<Record<Series, Omit<Curve, 'points' | 'name'>>> = {
  accepted: { label: 'accepted', colour: 'text', dash: [], width: 1.25 },
  delivered: { label: 'delivered', colour: 'delivered', dash: [], width: 1.75 },
  failed_attempts: { label: 'failed attempts', colour: 'held', dash: [5, 3], width: 1.5 },
  dead: { label: 'dead', colour: 'dead', dash: [2, 2], width: 2.25 },
};

/** What to draw of these statistics. `over`: so many steps are; what still grows is drawn only where it is all there is. */
export function curvesOf(told: Statistics, names: readonly Series[], over: number): Curve[] {
  const all = names.flatMap((name) => {
    const look = LOOKS[name];
    return look ? [{ ...look, name, points: counts(told, name) }] : [];
  });
  const isThere = all.some(({ points }) => points.slice(0, over).some((n) => n > 0));
  return isThere ? all.map((curve) => ({ ...curve, points: curve.points.slice(0, over) })) : all;
}

export function totalsOf(told: Statistics, names: readonly Series[]): Record<string, number> {
  return Object.fromEntries(names.map((name) => [name, total(told, name)]));
}
