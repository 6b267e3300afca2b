/** What happens now, over one stream for the whole console, and whether that stream is there. */
import { path } from '../api/client';
import type { Activity, Job } from '../api/types';
import { backOff, MessageReader } from './sse';

export type LiveState = 'connecting' | 'live' | 'reconnecting' | 'off';

/** The gateway says something every 15 s; nothing for this long, and the line is dead. */
const SILENCE_MS = 40_000;

interface Told {
  activity: Activity;
  job: Job;
  counts: unknown;
  /** More happened while the stream was away than is kept: what is shown may be old. */
  missed: unknown;
}

class Live {
  state = $state<LiveState>('off');
  counts = $state.raw<unknown>(null);
  #listeners: { [K in keyof Told]: Set<(told: Told[K]) => void> } = {
    activity: new Set(),
    job: new Set(),
    counts: new Set(),
    missed: new Set(),
  };
  #abort: AbortController | null = null;
  #lastId: string | null = null;

  /** Listens until what is returned is called. */
  on<K extends keyof Told>(kind: K, listener: (told: Told[K]) => void): () => void {
    this.#listeners[kind].add(listener);
    return () => this.#listeners[kind].delete(listener);
  }

  start(): void {
    if (this.#abort !== null) return;
    const abort = new AbortController();
    this.#abort = abort;
    this.state = 'connecting';
    void this.#run(abort.signal);
  }

  stop(): void {
    this.#abort?.abort();
    this.#abort = null;
    this.state = 'off';
  }

  async #run(stopped: AbortSignal): Promise<void> {
    let failures = 0;
    while (!stopped.aborted) {
      if (await this.#listen(stopped)) failures = 0;
      if (stopped.aborted) return;
      this.state = 'reconnecting';
      failures += 1;
      await pause(backOff(failures, Math.random()), stopped);
    }
  }

  /** One connection, until it ends; whether it was there at all. */
  async #listen(stopped: AbortSignal): Promise<boolean> {
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), SILENCE_MS);
    try {
      const headers: Record<string, string> = { accept: 'text/event-stream' };
      if (this.#lastId !== null) headers['last-event-id'] = this.#lastId;
      const signal = AbortSignal.any([stopped, silence.signal]);
      const answer = await fetch(path('stream'), { headers, signal, credentials: 'same-origin', cache: 'no-store' });
      if (!answer.ok || answer.body === null) return false;
      this.state = 'live';
      const reader = new MessageReader();
      for await (const text of answer.body.pipeThrough(new TextDecoderStream())) {
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENCE_MS);
        for (const message of reader.read(text)) this.#tell(message.event, message.data, message.id);
      }
      return true;
    } catch {
      return this.state === 'live';
    } finally {
      clearTimeout(timer);
    }
  }

  #tell(event: string, data: string, id: string | null): void {
    if (id !== null) this.#lastId = id;
    if (!isTold(event)) return;
    const told = JSON.parse(data);
    if (event === 'counts') this.counts = told;
    for (const listener of this.#listeners[event]) listener(told as never);
  }
}

function isTold(event: string): event is keyof Told {
  return ['activity', 'job', 'counts', 'missed'].includes(event);
}

function pause(ms: number, stopped: AbortSignal): Promise<void> {
  return new Promise((done) => {
    const timer = setTimeout(done, ms);
    stopped.addEventListener('abort', () => (clearTimeout(timer), done()), { once: true });
    // Back on a network, or back at the machine: no reason to wait any longer.
    addEventListener('online', () => done(), { once: true });
  });
}

export const live = new Live();
