import { defineConfig } from "vitest/config";

export default defineConfig({
  esbuild: { jsx: "automatic", jsxImportSource: "preact" },
  // @grafana/data imports CommonJS packages by name, which only a bundler resolves.
  test: { environment: "happy-dom", include: ["src/**/*.test.ts", "src/**/*.test.tsx"], server: { deps: { inline: ["@grafana/data"] } } },
});
