/** The keyboard: what each key does now. A page's keys go before those of the frame; `g o` is two keys one after the other. */
import { untrack } from 'svelte';
import { preferences } from './preferences.svelte';

export interface Binding {
  keys: string;
  label: string;
  run: () => void;
  /** Where it stands in the list of keys. */
  group?: string;
}

const SEQUENCE_MS = 1200;

export class Keys {
  #layers = $state.raw<readonly Binding[][]>([]);
  #first: { key: string; at: number } | null = null;

  /** Binds keys until what is returned is called. */
  bind(bindings: Binding[]): () => void {
    // Bound in an effect: what is bound already is none of its business.
    const change = (to: (layers: readonly Binding[][]) => Binding[][]): void => untrack(() => void (this.#layers = to(this.#layers)));
    change((layers) => [...layers, bindings]);
    return () => change((layers) => layers.filter((layer) => layer !== bindings));
  }

  /** What can be pressed now, the page's own first. */
  get all(): Binding[] {
    const seen = new Set<string>();
    return [...this.#layers]
      .reverse()
      .flat()
      .filter(({ keys }) => !seen.has(keys) && seen.add(keys));
  }

  /** Does what a key means; true where it means something. */
  press(key: string, at: number): boolean {
    const first = this.#first !== null && at - this.#first.at < SEQUENCE_MS ? this.#first.key : null;
    this.#first = null;
    const bindings = this.all;
    const found = (first !== null && bindings.find(({ keys }) => keys === `${first} ${key}`)) || bindings.find(({ keys }) => keys === key);
    if (found) {
      found.run();
      return true;
    }
    if (bindings.some(({ keys }) => keys.startsWith(`${key} `))) {
      this.#first = { key, at };
      return true;
    }
    return false;
  }
}

export const keys = new Keys();

/** A key that was pressed anywhere: none where a person writes. */
export function onKey(event: KeyboardEvent): void {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.defaultPrevented) return;
  if (isWriting(event) || isPressing(event) || isBehindDialog()) return;
  if (!preferences.singleKeys && event.key !== 'Escape') return;
  if (keys.press(event.key, event.timeStamp)) event.preventDefault();
}

function isWriting(event: KeyboardEvent): boolean {
  const target = event.composedPath()[0];
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target.tagName === 'TEXTAREA' || target.tagName === 'SELECT') return true;
  return target instanceof HTMLInputElement && !['checkbox', 'radio', 'button', 'submit'].includes(target.type);
}

/** Enter on a button or a link is its own, whatever else the key means on this page. */
function isPressing(event: KeyboardEvent): boolean {
  const target = event.composedPath()[0];
  return event.key === 'Enter' && target instanceof Element && target.closest('a[href], button, summary') !== null;
}

/** The page behind an open dialog is out of reach, for the keyboard too. */
function isBehindDialog(): boolean {
  return document.querySelector('dialog[open]') !== null;
}
