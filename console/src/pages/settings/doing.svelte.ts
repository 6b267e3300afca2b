/** One thing that a person does on a page: whether it is under way, and what went wrong with it. */
import { Problem } from '../../api/problem';

export class Doing {
  busy = $state(false);
  problem = $state.raw<Problem | null>(null);

  /** Runs it, one at a time; whether it was done. */
  async run(what: () => Promise<unknown>): Promise<boolean> {
    if (this.busy) return false;
    this.busy = true;
    this.problem = null;
    try {
      await what();
      return true;
    } catch (thrown) {
      this.problem = Problem.from(thrown);
      return false;
    } finally {
      this.busy = false;
    }
  }
}
