/// <reference types="vitest/config" />
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

const gateway = process.env['LONGSTOP_URL'] ?? 'http://127.0.0.1:8081';

export default defineConfig({
  plugins: [svelte()],
  build: {
    outDir: '../src/longstop/edges/operators/static',
    emptyOutDir: true,
    target: 'es2023',
    // Written by scripts into the page: neither is allowed by its Content-Security-Policy.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
  },
  server: { port: 5173, proxy: { '/api': gateway, '/dlq': gateway } },
  // A test mounts components, as a browser does.
  resolve: process.env['VITEST'] ? { conditions: ['browser'] } : {},
  test: { environment: 'happy-dom', include: ['src/**/*.test.ts'], restoreMocks: true, unstubGlobals: true },
});
