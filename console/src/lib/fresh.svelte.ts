/** What has come since a list was read. It waits until it is asked for, so that nothing jumps under who reads. */
import type { Activity } from '../api/types';
import { live } from '../live/live.svelte';

export class Fresh {
  /** How many; Infinity: more happened than the stream could tell. */
  count = $state(0);

  constructor(concerns: (told: Activity) => boolean) {
    $effect(() =>
      live.on('activity', (told) => {
        if (concerns(told)) this.count += 1;
      }),
    );
    $effect(() => live.on('missed', () => (this.count = Number.POSITIVE_INFINITY)));
  }

  seen(): void {
    this.count = 0;
  }
}
