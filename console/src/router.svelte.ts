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

  go(href: string, { replace = false } = {}): void {
    const next = new URL(href, location.href);
    if (next.href === this.#url.href) return;
    const samePage = next.pathname === this.#url.pathname;
    if (replace) history.replaceState(null, '', next);
    else history.pushState(null, '', next);
    this.#url = next;
    if (!samePage) scrollTo(0, 0);
  }

  /** Sets parameters of this page; null and '' take one away. */
  set(changes: Record<string, string | null>, options: { replace?: boolean } = {}): void {
    const next = new URL(this.#url);
    for (const [name, value] of Object.entries(changes)) {
      if (value) next.searchParams.set(name, value);
      else next.searchParams.delete(name);
    }
    this.go(next.href, options);
  }

  start(): () => void {
    const moved = () => (this.#url = new URL(location.href));
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

export const router = new Router();
