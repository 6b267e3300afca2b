/** Where the focus goes when what had it is gone. */

/**
 * Gives the focus back to what had it before this part, when the part goes with it: `j` goes on from the row that it
 * was at. Called while a part is made.
 */
export function handBackFocus(): void {
  const before = document.activeElement;
  $effect(() => () => {
    queueMicrotask(() => {
      const lost = document.activeElement === null || document.activeElement === document.body;
      if (lost && before instanceof HTMLElement && before.isConnected) before.focus();
    });
  });
}
