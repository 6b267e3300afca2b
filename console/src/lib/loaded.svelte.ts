/** Something that is asked of the API: its data, what went wrong, and whether it has taken long enough to say so. */
import { Problem } from '../api/problem';

const SLOW_MS = 150;

export class Loaded<T> {
  data = $state.raw<T | null>(null);
  problem = $state.raw<Problem | null>(null);
  /** Asked for longer than 150 ms, and nothing to show yet. */
  slow = $state(false);
  asking = $state(false);
  /** When the data came. */
  at = $state(0);
  #asked = $state(0);

  /** Asks once more. What was there stays until the answer is. */
  reload(): void {
    this.#asked += 1;
  }

  /** `load` is called again whenever something that it reads before its first `await` changes. */
  constructor(load: (signal: AbortSignal) => Promise<T>, same: () => unknown = () => null) {
    let before: unknown;
    $effect(() => {
      void this.#asked;
      const now = same();
      if (now !== before) this.data = null;
      before = now;
      const abort = new AbortController();
      const timer = setTimeout(() => (this.slow = true), SLOW_MS);
      this.asking = true;
      load(abort.signal)
        .then(
          (data) => {
            if (abort.signal.aborted) return;
            this.data = data;
            this.problem = null;
            this.at = Date.now();
          },
          (thrown: unknown) => {
            if (abort.signal.aborted) return;
            this.problem = Problem.from(thrown);
          },
        )
        .finally(() => {
          if (abort.signal.aborted) return;
          clearTimeout(timer);
          this.slow = false;
          this.asking = false;
        });
      return () => {
        clearTimeout(timer);
        abort.abort();
      };
    });
  }
}
