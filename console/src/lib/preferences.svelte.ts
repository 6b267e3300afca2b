/** What a person set for this browser: theme, times, keys. */

type Theme = 'system' | 'light' | 'dark';

const STORED = 'longstop.preferences';

class Preferences {
  theme = $state<Theme>('system');
  exactTimes = $state(false);
  /** Single keys do something. Some people's input programs type them by themselves. */
  singleKeys = $state(true);

  constructor() {
    try {
      const kept = JSON.parse(localStorage.getItem(STORED) ?? '{}');
      if (['system', 'light', 'dark'].includes(kept.theme)) this.theme = kept.theme;
      this.exactTimes = kept.exactTimes === true;
      this.singleKeys = kept.singleKeys !== false;
    } catch {
      // A browser that keeps nothing shows the defaults.
    }
  }

  /** Shows and keeps what is set. */
  apply(): void {
    const root = document.documentElement;
    if (this.theme === 'system') root.removeAttribute('data-theme');
    else root.setAttribute('data-theme', this.theme);
    const { theme, exactTimes, singleKeys } = this;
    try {
      localStorage.setItem(STORED, JSON.stringify({ theme, exactTimes, singleKeys }));
    } catch {
      // As above.
    }
  }
}

export const preferences = new Preferences();
