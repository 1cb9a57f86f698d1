import { defineConfig } from "vite";

// All addresses are relative: the api may stand behind a path prefix of a proxy.
// Nothing is inlined, because the page's policy forbids inline code.
export default defineConfig({
  base: "./",
  build: {
    assetsDir: "console",
    assetsInlineLimit: 0,
    modulePreload: false,
    target: "es2022",
  },
});
