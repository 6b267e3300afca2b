/** Where the browser is. Everything that a page shows stands in its address, so that it can be pasted into a chat. */
import { match, type Route } from './routes';

class Router {
  #url = $state.raw(new URL(location.href));

  get route(): Route {
    return this.#route;
  }
  #route = $derived(match(this.#url.pathname));

  get params(): URLSearchParams {
    return this.#url.searchParams;
  }

  get pathname(): string {
    return this.#url.pathname;
  }

  /** Path and parameters, as after the host's name. */
  get here(): string {
    return this.#url.pathname + this.#url.search;
  }

  /** The cursors of the pages before this one, the last behind: of those that were turned over in this window. */
  get before(): readonly string[] {
    return this.#before;
  }
  #before = $state.raw(cursorsIn(history.state));

  go(href: string, { replace = false, before = [] }: { replace?: boolean; before?: readonly string[] } = {}): void {
    const next = new URL(href, location.href);
    if (next.href === this.#url.href) return;
    const samePage = next.pathname === this.#url.pathname;
    const state = before.length > 0 ? { before } : null;
    if (replace) history.replaceState(state, '', next);
    else history.pushState(state, '', next);
    this.#url = next;
    this.#before = before;
    if (!samePage) scrollTo(0, 0);
  }

  /** Sets parameters of this page; null and '' take one away. */
  set(changes: Record<string, string | null>, options: { replace?: boolean } = {}): void {
    const next = new URL(this.#url);
    for (const [name, value] of Object.entries(changes)) {
      if (value) next.searchParams.set(name, value);
      else next.searchParams.delete(name);
    }
    const samePlace = next.searchParams.get('cursor') === this.#url.searchParams.get('cursor');
    this.go(next.href, { ...options, before: samePlace ? this.#before : [] });
  }

  start(): () => void {
    const moved = (): void => {
      this.#url = new URL(location.href);
      this.#before = cursorsIn(history.state);
    };
    addEventListener('popstate', moved);
    document.addEventListener('click', this.#clicked);
    return () => {
      removeEventListener('popstate', moved);
      document.removeEventListener('click', this.#clicked);
    };
  }

  #clicked = (event: MouseEvent): void => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (link === null || link.target !== '' || link.hasAttribute('download')) return;
    const url = new URL(link.href, location.href);
    if (url.origin !== location.origin || match(url.pathname).page === 'missing') return;
    event.preventDefault();
    this.go(url.href);
  };
}

/** What a page of a list left in the browser's history. */
function cursorsIn(state: unknown): readonly string[] {
  const before: unknown = typeof state === 'object' && state !== null && 'before' in state ? state.before : null;
  return Array.isArray(before) ? before.filter((each) => typeof each === 'string') : [];
}

export const router = new Router();
