/** uPlot, set up for the console's one kind of plot. Loaded when a plot is first shown. */
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { short, ticks, timeLabel, type Curve } from '../lib/plot';

export interface Shown {
  /** The beginning of each step, in seconds. */
  times: number[];
  curves: readonly Curve[];
  /** In milliseconds: where the axis begins and ends. */
  from: number;
  to: number;
}

export interface Hooks {
  /** A range of times was dragged over; in milliseconds. */
  chose: (from: number, to: number) => void;
  /** The step under the pointer; null: it is not over the plot. */
  pointed: (step: number | null) => void;
}

const AXIS_FONT = '11px system-ui, sans-serif';

export interface Drawn {
  /** Other numbers of the same curves: what is pointed at and being dragged stays. */
  show: (shown: Shown) => void;
  destroy: () => void;
}

/** Draws into `target`, whose colours are those that the theme has now. */
export function draw(target: HTMLElement, first: Shown, width: number, height: number, hooks: Hooks): Drawn {
  let shown = first;
  const colour = colours(target);
  const soft = colour('text-soft');
  const grid = { stroke: colour('line'), width: 1 };
  const options: uPlot.Options = {
    width,
    height,
    // At the right as much as half a time takes: the last one stands there.
    padding: [8, 20, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: true, y: false, setScale: false }, points: { size: 6 } },
    scales: {
      x: { range: () => [shown.from / 1000, shown.to / 1000] },
      y: { distr: 100, fwd: Math.sqrt, bwd: (value) => value * value, range: (_plot, _min, max) => [0, Math.max(max ?? 0, 1) * 1.08] },
    },
    axes: [
      { stroke: soft, font: AXIS_FONT, size: 24, gap: 4, grid: { show: false }, ticks: { ...grid, size: 4 }, values: (_plot, at, _axis, _space, step) => at.map((each) => timeLabel(each, step)) },
      {
        stroke: soft,
        font: AXIS_FONT,
        size: 44,
        gap: 4,
        grid,
        ticks: { show: false },
        // Its own is for a logarithm, and names powers of ten alone.
        filter: (_plot, values) => values,
        splits: (plot) => ticks(plot.scales['y']?.max ?? 1, plot.over.clientHeight || height),
        values: (_plot, values) => values.map(short),
      },
    ],
    series: [
      {},
      ...shown.curves.map((curve) => ({
        stroke: colour(curve.colour),
        width: curve.width,
        dash: curve.dash,
        points: { show: () => shown.times.length < 2 },
      })),
    ],
    hooks: {
      setSelect: [
        (plot) => {
          const { left, width: wide } = plot.select;
          if (wide < 3) return;
          hooks.chose(plot.posToVal(left, 'x') * 1000, plot.posToVal(left + wide, 'x') * 1000);
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        },
      ],
      setCursor: [(plot) => hooks.pointed(plot.cursor.idx ?? null)],
    },
  };
  const data = (): uPlot.AlignedData => [shown.times, ...shown.curves.map(({ points }) => points)];
  const plot = new uPlot(options, data(), target);
  return {
    show: (next) => {
      shown = next;
      plot.setData(data());
    },
    destroy: () => plot.destroy(),
  };
}

/** A canvas knows no `light-dark()`: what a colour is now is asked of an element that has it. */
function colours(within: HTMLElement): (name: string) => string {
  const probe = document.createElement('i');
  within.append(probe);
  return (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
}
