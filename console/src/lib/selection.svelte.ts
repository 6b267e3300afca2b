/** Rows that a person picked: some of those shown, or all that match the filter. */
import { SvelteSet } from 'svelte/reactivity';

export class Selection {
  ids = new SvelteSet<string>();
  /** All that match, shown or not. */
  all = $state(false);

  get empty(): boolean {
    return !this.all && this.ids.size === 0;
  }

  has(id: string): boolean {
    return this.all || this.ids.has(id);
  }

  toggle(id: string, shown: readonly string[]): void {
    if (this.all) {
      this.all = false;
      for (const each of shown) this.ids.add(each);
    }
    if (!this.ids.delete(id)) this.ids.add(id);
  }

  /** All that are shown, or none of them where they are all picked. */
  toggleShown(shown: readonly string[]): void {
    const whole = this.all || shown.every((id) => this.ids.has(id));
    this.clear();
    if (!whole) for (const id of shown) this.ids.add(id);
  }

  selectAll(): void {
    this.ids.clear();
    this.all = true;
  }

  clear(): void {
    this.ids.clear();
    this.all = false;
  }
}
