import { createReadStream, statSync } from "node:fs";
import { resolve, sep } from "node:path";
import { defineConfig, type Plugin } from "vite";

/** Serves the run directory named by SAEMATCH_RUN at run/, with byte ranges. */
function serveRun(): Plugin {
  const root = process.env.SAEMATCH_RUN && resolve(process.env.SAEMATCH_RUN);
  return {
    name: "serve-run",
    configureServer(server) {
      server.middlewares.use("/run", (request, response, next) => {
        const path = decodeURIComponent((request.url ?? "").split("?")[0]);
        const place = root && resolve(root, "." + path);
        if (!root || !place || !place.startsWith(root + sep)) return next();
        let size: number;
        try {
          size = statSync(place).size;
        } catch {
          response.statusCode = 404;
          return response.end();
        }
        const range = /^bytes=(\d*)-(\d*)$/.exec(request.headers.range ?? "");
        let [start, end] = [0, size - 1];
        if (range && range[1]) {
          start = Number(range[1]);
          if (range[2]) end = Math.min(end, Number(range[2]));
        } else if (range) {
          start = Math.max(0, size - Number(range[2]));
        }
        response.statusCode = range ? 206 : 200;
        response.setHeader("Accept-Ranges", "bytes");
        response.setHeader("Content-Length", end - start + 1);
        if (range) response.setHeader("Content-Range", `bytes ${start}-${end}/${size}`);
        createReadStream(place, { start, end }).pipe(response);
      });
    },
  };
}

export default defineConfig({
  base: "./",
  plugins: [serveRun()],
  build: {
    outDir: "../src/saematch/explorer/page",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: false,
    rollupOptions: {
      output: {
        entryFileNames: "assets/explorer.js",
        chunkFileNames: "assets/[name].js",
        assetFileNames: "assets/[name][extname]",
      },
    },
  },
});
