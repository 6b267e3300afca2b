/** Runs something again and again, while the page is looked at. */

export function every(ms: number, run: () => void): void {
  $effect(() => {
    const timer = setInterval(() => {
      if (!document.hidden) run();
    }, ms);
    return () => clearInterval(timer);
  });
}
