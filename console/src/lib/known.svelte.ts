/** The names of sources and destinations, for suggestions: asked for once, when they are first of use. */
import { get } from '../api/client';

class Known {
  sources = $state.raw<string[]>([]);
  destinations = $state.raw<string[]>([]);
  #asked = false;

  load(): void {
    if (this.#asked) return;
    this.#asked = true;
    const names = (told: { items: { name: string }[] }): string[] => told.items.map(({ name }) => name);
    get<{ items: { name: string }[] }>('sources').then((told) => (this.sources = names(told)), () => (this.#asked = false));
    get<{ items: { name: string }[] }>('destinations').then((told) => (this.destinations = names(told)), () => (this.#asked = false));
  }
}

export const known = new Known();
