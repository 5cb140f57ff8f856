import { createHash } from "node:crypto";
import { createReadStream, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join, relative, resolve, sep } from "node:path";
import { defineConfig, type Plugin } from "vite";

/** Serves the run directory named by SAEMATCH_RUN at run/, with byte ranges. */
function serveRun(): Plugin {
  const root = process.env.SAEMATCH_RUN && resolve(process.env.SAEMATCH_RUN);
  return {
    name: "serve-run",
    configureServer(server) {
      server.middlewares.use("/run", (request, response, next) => {
        const path = decodeURIComponent((request.url ?? "").split("?")[0]);
        const place = root && resolve(root, `.${path}`);
        if (!root || !place?.startsWith(root + sep)) return next();
        let size: number;
        try {
          size = statSync(place).size;
        } catch {
          response.statusCode = 404;
          return response.end();
        }
        const range = /^bytes=(\d*)-(\d*)$/.exec(request.headers.range ?? "");
        let [start, end] = [0, size - 1];
        if (range?.[1]) {
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

/** Writes the licences of all that the page is built of beside it. */
function licences(): Plugin {
  return {
    name: "licences",
    generateBundle(_, bundle) {
      const folders = new Set<string>();
      for (const output of Object.values(bundle)) {
        if (output.type !== "chunk") continue;
        for (const id of output.moduleIds) {
          const found = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(id);
          if (found) folders.add(found[1]);
        }
      }
      const texts = [...folders].sort().map((folder) => {
        const { name, version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
        const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
        if (!file) throw new Error(`${name} has no licence file`);
        return `${name} ${version}\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
      });
      const source = texts.join(`\n${"-".repeat(72)}\n\n`);
      this.emitFile({ type: "asset", fileName: "assets/licences.txt", source });
    },
  };
}

/** What the page is made from, besides all of src. */
const SOURCES = [
  "index.html",
  "package-lock.json",
  "package.json",
  "tsconfig.json",
  "vite.config.ts",
];

/** Writes digests of the sources and of the page, so that one without the other is noticed. */
function digests(): Plugin {
  const within = (folder: string): string[] =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join("/"));
  // lines may end otherwise in another checkout
  const text = (place: string) => readFileSync(place, "utf8").replaceAll("\r\n", "\n");
  const digest = (places: string[], root: string) => {
    const hash = createHash("sha256");
    for (const place of places.sort()) hash.update(`${place}\0${text(join(root, place))}\0`);
    return hash.digest("hex");
  };
  return {
    name: "digests",
    writeBundle({ dir = "" }) {
      const sources = [...SOURCES, ...within("src").map((place) => `src/${place}`)];
      const page = within(dir).filter((place) => place !== "build.json");
      const entry = { sources: digest(sources, "."), page: digest(page, dir) };
      writeFileSync(join(dir, "build.json"), `${JSON.stringify(entry, null, 1)}\n`);
    },
  };
}

export default defineConfig({
  base: "./",
  plugins: [serveRun(), licences(), digests()],
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
