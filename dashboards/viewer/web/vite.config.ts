import { defineConfig } from "vitest/config";

// The build is committed and embedded, so it must come out the same everywhere: names by content, no dates, no source
// maps, whose paths would tell where it was built.
export default defineConfig({
  esbuild: { jsx: "automatic", jsxImportSource: "preact", legalComments: "none" },
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1000,
  },
  server: { host: "127.0.0.1", proxy: { "/api": "http://127.0.0.1:8127" } },
  // @grafana/data imports CommonJS packages by name, which only a bundler resolves.
  test: { environment: "happy-dom", include: ["src/**/*.test.ts", "src/**/*.test.tsx"], server: { deps: { inline: ["@grafana/data"] } } },
});
